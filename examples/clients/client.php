<?php
// Submits one task to sd and prints its result: php client.php 127.0.0.1:5000 '{"op":"square","n":7}'

function leave(int $code, string $text): never
{
    fwrite(STDERR, "$text\n");
    exit($code);
}

[$address, $task] = [$argv[1] ?? "", json_decode($argv[2] ?? "")];
if (!is_object($task) || !preg_match('/:\d+$/', $address)) {
    leave(2, "usage: client.php HOST:PORT JSON");
}
$server = @stream_socket_client("tcp://$address", $errno, $reason, 10)
    ?: leave(3, "cannot reach $address: $reason");
stream_set_timeout($server, PHP_INT_MAX >> 32); // A task may take hours.

$task->ref = 1;
foreach ([["cmd" => "hello", "token" => getenv("SD_TOKEN") ?: ""], $task] as $message) {
    fwrite($server, json_encode($message, JSON_UNESCAPED_UNICODE) . "\n");
}
while (($line = fgets($server)) !== false) {
    $reply = json_decode($line);
    if (property_exists($reply, "result")) {
        echo json_encode($reply->result, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES), "\n";
        exit(0);
    }
    if (isset($reply->error)) {
        // With a task_id the task failed; without one it was refused.
        leave(isset($reply->task_id) ? 1 : 7, "{$reply->error->code}: {$reply->error->message}");
    }
    $status = $reply->status ?? null;
    if (in_array($status, ["cancelled", "expired"])) leave(6, "the task was $status");
    if ($status !== null) fwrite(STDERR, "$status: $reply->task_id\n");
}
leave(3, "connection to $address lost");
