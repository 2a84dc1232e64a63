// Submits one task to sd and prints its result: go run client.go 127.0.0.1:5000 '{"op":"square","n":7}'
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

func leave(code int, text ...any) {
	fmt.Fprintln(os.Stderr, text...)
	os.Exit(code)
}

func main() {
	task := map[string]any{"ref": 1}
	if len(os.Args) != 3 || json.Unmarshal([]byte(os.Args[2]), &task) != nil {
		leave(2, "usage: client HOST:PORT JSON")
	}
	server, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		leave(3, "cannot reach the server:", err)
	}
	json.NewEncoder(server).Encode(map[string]string{"cmd": "hello", "token": os.Getenv("SD_TOKEN")})
	json.NewEncoder(server).Encode(task)
	codes := map[string]int{`"failed"`: 1, `"cancelled"`: 6, `"expired"`: 6}
	for replies, reply := json.NewDecoder(server), map[string]json.RawMessage{}; ; {
		if err := replies.Decode(&reply); err != nil {
			leave(3, "connection lost:", err)
		} else if code := codes[string(reply["status"])]; code > 0 {
			leave(code, string(reply["status"]), string(reply["error"]))
		} else if reply["error"] != nil {
			leave(7, "refused:", string(reply["error"]))
		} else if reply["result"] != nil {
			fmt.Println(string(reply["result"]))
			return
		}
	}
}
