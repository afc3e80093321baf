//! The operating system's view of the process, which is there on Linux.

#[cfg(target_os = "linux")]
pub(super) use linux::{memory, threads};

#[cfg(not(target_os = "linux"))]
pub(super) fn memory() -> Result<String, String> {
    Err("the memory of the process is told on Linux only".to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn threads() -> Result<String, String> {
    Err("the threads of the process are told on Linux only".to_owned())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt::Write;

    use procfs::process::Process;
    use procfs::{ProcResult, ticks_per_second};

    /// How much memory there is of which kind.
    pub(in super::super) fn memory() -> Result<String, String> {
        told(read_memory())
    }

    /// The threads, each in a line.
    pub(in super::super) fn threads() -> Result<String, String> {
        told(read_threads())
    }

    fn told(read: ProcResult<String>) -> Result<String, String> {
        read.map_err(|error| format!("the process cannot be looked at: {error}"))
    }

    fn read_memory() -> ProcResult<String> {
        let status = Process::myself()?.status()?;
        let kinds = [
            ("resident_bytes", status.vmrss),
            ("resident_peak_bytes", status.vmhwm),
            ("resident_anonymous_bytes", status.rssanon),
            ("resident_file_bytes", status.rssfile),
            ("resident_shared_bytes", status.rssshmem),
            ("swapped_bytes", status.vmswap),
            ("data_bytes", status.vmdata),
            ("stack_bytes", status.vmstk),
            ("virtual_bytes", status.vmsize),
            ("virtual_peak_bytes", status.vmpeak),
        ];
        let mut text = String::new();
        for (name, kilobytes) in kinds {
            if let Some(kilobytes) = kilobytes {
                let _ = writeln!(text, "{name} {}", kilobytes.saturating_mul(1024));
            }
        }
        Ok(text)
    }

    #[expect(clippy::cast_precision_loss, reason = "a thread does not run for 2^53 ticks")]
    fn read_threads() -> ProcResult<String> {
        let tick = ticks_per_second() as f64;
        let mut text = "thread name state user_seconds system_seconds\n".to_owned();
        // One that ends meanwhile is left out.
        for thread in Process::myself()?.tasks()?.flatten() {
            let Ok(stat) = thread.stat() else { continue };
            let [user, system] = [stat.utime, stat.stime].map(|ticks| ticks as f64 / tick);
            let _ = writeln!(text, "{} {:?} {} {user:.2} {system:.2}", thread.tid, stat.comm, stat.state);
        }
        Ok(text)
    }
}
