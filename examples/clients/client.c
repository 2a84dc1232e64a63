/* Submits one task to sd and prints its result: cc -o client client.c; ./client 127.0.0.1:5000 '{"op":"square","n":7}'
 * C has no JSON. sd writes task_id and status first and ref last, so this client matches the text of a reply. */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int say(int code, const char *what, const char *text) {
  return fprintf(stderr, "%s%s\n", what, text), code;
}

int main(int argc, char **argv) {
  char *port = argc == 3 ? strrchr(argv[1], ':') : NULL, *end = port ? strrchr(argv[2], '}') : NULL;
  if (!end) return say(2, "usage: client HOST:PORT ", "JSON");
  *port++ = *end = '\0';
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *at;
  if (getaddrinfo(argv[1], port, &hints, &at) != 0) return say(3, "no such host: ", argv[1]);
  int server = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
  if (connect(server, at->ai_addr, at->ai_addrlen) != 0) return say(3, "cannot reach ", argv[1]);
  const char *token = getenv("SD_TOKEN");
  if (token) dprintf(server, "{\"cmd\":\"hello\",\"token\":\"%s\"}\n", token);
  dprintf(server, "%s,\"ref\":1}\n", argv[2]);
  FILE *replies = fdopen(server, "r");
  char *line = NULL, *status, *value;
  for (size_t size = 0; getline(&line, &size, replies) > 0;) {
    if (!strncmp(line, "{\"error\":", 9)) return say(7, "refused: ", line + 9);
    if (strncmp(line, "{\"task_id\":", 11) || !(status = strstr(line, "\"status\":\""))) continue;
    line[strlen(line) - strlen(",\"ref\":1}\n")] = '\0';
    if ((value = strstr(status, ",\"result\":"))) return puts(value + 10), 0;
    if ((value = strstr(status, ",\"error\":"))) return say(1, "failed: ", value + 9);
    if (strstr(status, ":\"cancelled\"") || strstr(status, ":\"expired\"")) return say(6, "", line);
    say(0, "", line);
  }
  return say(3, "connection lost: ", argv[1]);
}
