// Submits one task to sd and prints its result: java Client.java 127.0.0.1:5000 '{"op":"square","n":7}'
// Java has no JSON. sd writes task_id and status first and ref last, so this client matches the text of a reply.
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.*;
import java.net.Socket;

class Client {
  static int say(int code, String text) {
    System.err.println(text);
    return code;
  }

  static int submit(String[] at, String task) throws IOException {
    try (var server = new Socket(at[0], Integer.parseInt(at[1]))) {
      var hello = "{\"cmd\":\"hello\",\"token\":\"" + System.getenv().getOrDefault("SD_TOKEN", "") + "\"}\n";
      var line = task.replaceFirst("}\\s*$", ",\"ref\":1}\n");
      server.getOutputStream().write((hello + line).getBytes(UTF_8));
      var replies = new BufferedReader(new InputStreamReader(server.getInputStream(), UTF_8));
      for (String reply; (reply = replies.readLine()) != null;) {
        var end = reply.replaceFirst("^\\{\"task_id\":\".*?\",\"status\":\"", "");
        var result = end.split(",\"result\":", 2);
        if (reply.startsWith("{\"error\":")) return say(7, reply);
        if (end.startsWith("failed")) return say(1, reply);
        if (end.startsWith("cancelled") || end.startsWith("expired")) return say(6, reply);
        if (result.length < 2) continue;
        System.out.write(result[1].replaceFirst(",\"ref\":1}$", "\n").getBytes(UTF_8));
        return 0;
      }
    }
    return say(3, "connection lost");
  }

  public static void main(String[] args) {
    if (args.length != 2 || !args[0].contains(":")) System.exit(say(2, "usage: client HOST:PORT JSON"));
    try { System.exit(submit(args[0].split(":(?=\\d+$)"), args[1])); }
    catch (IOException error) { System.exit(say(3, args[0] + ": " + error.getMessage())); }
  }
}
