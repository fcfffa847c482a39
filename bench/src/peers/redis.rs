//! Redis over a socket in the file system, as its own process on the second processor, without saving anything.

use crate::Result;
use crate::keys::keys;
use crate::machine::{self, Cores};
use crate::row::Missing;
use crate::scratch::Scratch;
use redis::Connection;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server, ended when dropped.
pub struct Server {
    child: Child,
    socket: Scratch,
}

impl Server {
    /// Starts it and puts the keys `0..n` in.
    pub fn with_keys(n: u64) -> Result<Server> {
        let server = Server::start()?;
        let mut connection = server.connect()?;
        let all: Vec<u64> = keys(0..n).collect();
        for some in all.chunks(1000) {
            let mut pipe = redis::pipe();
            for key in some {
                pipe.set(&key.to_le_bytes()[..], &(!key).to_le_bytes()[..]).ignore();
            }
            pipe.exec(&mut connection)?;
        }
        Ok(server)
    }

    fn start() -> Result<Server> {
        let socket = Scratch::new("redis");
        let cpu = Cores::get()?.second;
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(socket.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        // SAFETY: system calls only, between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                machine::pin(cpu).map_err(|_| std::io::Error::last_os_error())
            })
        };
        let child = command
            .spawn()
            .map_err(|_| Missing("redis-server is not installed: see bench/README.md".into()))?;
        Ok(Server { child, socket })
    }

    pub fn connect(&self) -> Result<Connection> {
        let client = redis::Client::open(format!("unix://{}", self.socket.path().display()))?;
        let start = Instant::now();
        loop {
            match client.get_connection() {
                Ok(connection) => return Ok(connection),
                Err(e) if start.elapsed() > Duration::from_secs(10) => return Err(e.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
