#!/usr/bin/env bash
# Submits one task to sd and prints its result: bash client.sh 127.0.0.1:5000 '{"op":"square","n":7}'
# Bash has no JSON. sd writes task_id and status first and ref last, so this client matches the text of a reply.

say() { echo "$1" >&2; }

address=$1 task=$2
if [[ $address != *:* || $task != "{"*"}" ]]; then
  say "usage: client.sh HOST:PORT JSON"
  exit 2
fi
if ! { exec 3<>"/dev/tcp/${address%:*}/${address##*:}"; } 2>/dev/null; then
  say "cannot reach $address"
  exit 3
fi
[[ -n $SD_TOKEN ]] && printf '{"cmd":"hello","token":"%s"}\n' "$SD_TOKEN" >&3
printf '%s,"ref":1}\n' "${task%\}}" >&3

while IFS= read -r reply <&3; do
  case $reply in
    '{"task_id":"'*'","status":"completed","result":'*)
      result=${reply#*,\"result\":}
      printf '%s\n' "${result%,\"ref\":1\}}"
      exit 0 ;;
    '{"task_id":"'*'","status":"failed","error":'*) say "${reply#*,\"error\":}"; exit 1 ;;
    '{"task_id":"'*'","status":"cancelled"'* | '{"task_id":"'*'","status":"expired"'*)
      say "$reply"
      exit 6 ;;
    '{"error":'*) say "${reply#*\"error\":}"; exit 7 ;;
    '{"task_id":"'*) say "$reply" ;;
  esac
done
say "connection to $address lost"
exit 3
