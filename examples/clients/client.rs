// Submits one task to sd and prints its result: rustc client.rs && ./client 127.0.0.1:5000 '{"op":"square","n":7}'
// Rust's library has no JSON. sd writes task_id and status first and ref last, so this client matches the text of a reply.
use std::io::{BufRead, BufReader, Write};
use std::{env, net::TcpStream, process::ExitCode};

fn say(code: u8, text: &str) -> u8 {
    eprintln!("{text}");
    code
}

fn submit(address: &str, task: &str) -> std::io::Result<u8> {
    let mut server = TcpStream::connect(address)?;
    let token = env::var("SD_TOKEN").unwrap_or_default();
    write!(server, "{{\"cmd\":\"hello\",\"token\":\"{token}\"}}\n{task},\"ref\":1}}\n")?;
    for line in BufReader::new(server).lines() {
        let line = line?;
        let reply = line.strip_suffix(",\"ref\":1}").unwrap_or(&line);
        if let Some(error) = reply.strip_prefix("{\"error\":") {
            return Ok(say(7, error));
        }
        let Some((task, rest)) = reply.split_once("\",\"status\":\"") else { continue };
        match rest.split_once('"').unwrap_or_default() {
            ("failed", error) => return Ok(say(1, error.trim_start_matches(",\"error\":"))),
            (status @ ("cancelled" | "expired"), _) => return Ok(say(6, status)),
            ("completed", result) if result.starts_with(",\"result\":") => {
                println!("{}", &result[10..]);
                return Ok(0);
            }
            (status, _) => say(0, &format!("{status}: {}", task.trim_start_matches("{\"task_id\":\""))),
        };
    }
    Ok(say(3, "connection lost"))
}

fn main() -> ExitCode {
    let [address, task] = [1, 2].map(|i| env::args().nth(i).unwrap_or_default());
    let Some(open) = task.trim_end().strip_suffix('}') else { return say(2, "usage: client HOST:PORT JSON").into() };
    submit(&address, open).unwrap_or_else(|error| say(3, &format!("cannot reach {address}: {error}"))).into()
}
