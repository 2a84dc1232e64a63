# Submits one task to sd and prints its result: perl client.pl 127.0.0.1:5000 '{"op":"square","n":7}'
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;

sub leave {
    my ($code, $text) = @_;
    print STDERR "$text\n";
    exit $code;
}

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my ($address, $line) = @ARGV;
my $task = eval { $json->decode($line // "") };
leave(2, "usage: client.pl HOST:PORT JSON") if ref $task ne "HASH" || $address !~ /:\d+$/;
my $server = IO::Socket::INET->new(PeerAddr => $address, Proto => "tcp", Timeout => 10)
    or leave(3, "cannot reach $address: $@");

my $token = $ENV{SD_TOKEN} // "";
print $server $json->encode($_), "\n" for { cmd => "hello", token => $token }, { %$task, ref => 1 };
$server->flush;

while (my $text = <$server>) {
    my $reply = $json->decode($text);
    if (exists $reply->{result}) {
        print $json->encode($reply->{result}), "\n";
        exit 0;
    }
    if (my $error = $reply->{error}) {
        # With a task_id the task failed; without one it was refused.
        leave(exists $reply->{task_id} ? 1 : 7, "$error->{code}: $error->{message}");
    }
    my $status = $reply->{status} // next;
    leave(6, "the task was $status") if $status =~ /^(cancelled|expired)$/;
    print STDERR "$status: $reply->{task_id}\n";
}
leave(3, "connection to $address lost");
