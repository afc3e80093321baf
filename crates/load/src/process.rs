//! What another process uses: processor time, memory, switches.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A running process of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: i32,
    clock: ClockId,
}

impl Process {
    /// The process with an id.
    ///
    /// # Errors
    ///
    /// When there is none, or its clock may not be read.
    pub fn new(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let process = Self { pid, clock: clock_getcpuclockid(Pid::from_raw(pid))? };
        // A clock is also given for processes that do not exist.
        process.resident()?;
        Ok(process)
    }

    /// This process.
    ///
    /// # Errors
    ///
    /// When the system has no such clock.
    pub fn this() -> io::Result<Self> {
        Self::new(std::process::id())
    }

    /// Processor time of all its threads so far, to the nanosecond: its CPU clock, not the ticks of `/proc`.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        Ok(clock_gettime(self.clock)?.into())
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn resident(&self) -> io::Result<u64> {
        self.status_field("VmRSS:").map(|kib| kib * 1024)
    }

    /// The most resident memory that it ever had, in bytes.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn resident_peak(&self) -> io::Result<u64> {
        self.status_field("VmHWM:").map(|kib| kib * 1024)
    }

    /// How often its threads gave the processor up by themselves so far. Threads that ended are not counted.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn voluntary_switches(&self) -> io::Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            sum += field(task?.path().join("status"), "voluntary_ctxt_switches:").unwrap_or(0);
        }
        Ok(sum)
    }

    fn status_field(&self, name: &str) -> io::Result<u64> {
        field(format!("/proc/{}/status", self.pid).into(), name)
    }
}

fn field(file: PathBuf, name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Memory of the kernel's slabs in bytes: sockets and what belongs to them.
///
/// # Errors
///
/// When `/proc/meminfo` cannot be read.
pub fn slab() -> io::Result<u64> {
    field("/proc/meminfo".into(), "Slab:").map(|kib| kib * 1024)
}

/// Ties the calling thread, and those it starts, to one processor.
///
/// # Errors
///
/// When there is no such processor.
pub fn pin(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let this = Process::this().expect("exists");
        let before = this.cpu().expect("readable");
        let mut sum = 0_u64;
        while this.cpu().expect("readable") - before < Duration::from_millis(2) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        std::hint::black_box(sum);
        assert!(this.resident().expect("readable") > 1 << 20);
        assert!(this.resident_peak().expect("readable") >= this.resident().expect("readable"));
        this.voluntary_switches().expect("readable");
        assert!(slab().expect("readable") > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Process::new(u32::MAX).is_err());
        assert!(Process::new(i32::MAX as u32).is_err());
    }
}
