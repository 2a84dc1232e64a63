# Submits one task to sd and prints its result: ruby client.rb 127.0.0.1:5000 '{"op":"square","n":7}'
require "json"
require "socket"

def leave(code, text)
  warn text
  exit code
end

address, line = ARGV
begin
  host, port = address.match(/\A(.+):(\d+)\z/).captures
  task = JSON.parse(line).merge("ref" => 1)
rescue NoMethodError, TypeError, JSON::ParserError
  leave 2, "usage: client.rb HOST:PORT JSON"
end
begin
  server = Socket.tcp(host, port.to_i, connect_timeout: 10)
rescue SystemCallError, SocketError => error
  leave 3, "cannot reach #{address}: #{error.message}"
end

server.puts({ cmd: "hello", token: ENV.fetch("SD_TOKEN", "") }.to_json, task.to_json)
while (text = server.gets)
  reply = JSON.parse(text)
  if reply.key?("result")
    puts reply["result"].to_json
    exit 0
  end
  if (error = reply["error"])
    # With a task_id the task failed; without one it was refused.
    leave reply.key?("task_id") ? 1 : 7, "#{error["code"]}: #{error["message"]}"
  end
  status = reply["status"]
  leave 6, "the task was #{status}" if %w[cancelled expired].include?(status)
  warn "#{status}: #{reply["task_id"]}" if status
end
leave 3, "connection to #{address} lost"
