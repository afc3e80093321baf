//! What the operating system knows of this process, under the names that all clients of Prometheus use.

use tourbillon::node::Sample;

#[cfg(target_os = "linux")]
pub(super) fn samples() -> Vec<Sample> {
    linux::samples().unwrap_or_else(|error| {
        tracing::debug!(%error, "the process cannot be looked at");
        Vec::new()
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn samples() -> Vec<Sample> {
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::process::{LimitValue, Process};
    use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};
    use tourbillon::node::{Family, Sample, SampleKind};

    static CPU: Family = Family::new(
        SampleKind::Counter,
        "",
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
    );
    static RESIDENT: Family =
        Family::new(SampleKind::Gauge, "", "process_resident_memory_bytes", "Resident memory size in bytes.");
    static VIRTUAL: Family =
        Family::new(SampleKind::Gauge, "", "process_virtual_memory_bytes", "Virtual memory size in bytes.");
    static THREADS: Family =
        Family::new(SampleKind::Gauge, "", "process_threads", "Number of threads of the process.");
    static OPEN: Family =
        Family::new(SampleKind::Gauge, "", "process_open_fds", "Number of open file descriptors.");
    static MOST: Family =
        Family::new(SampleKind::Gauge, "", "process_max_fds", "Maximum number of open file descriptors.");
    static START: Family = Family::new(
        SampleKind::Gauge,
        "",
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
    );

    #[expect(clippy::cast_precision_loss, reason = "none of them has 53 bits")]
    pub(super) fn samples() -> ProcResult<Vec<Sample>> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let tick = ticks_per_second() as f64;
        let put = |family, value| Sample::new(family, Vec::new(), value);
        let mut samples = vec![
            put(&CPU, (stat.utime + stat.stime) as f64 / tick),
            put(&RESIDENT, (stat.rss * page_size()) as f64),
            put(&VIRTUAL, stat.vsize as f64),
            put(&THREADS, stat.num_threads as f64),
            put(&START, boot_time_secs()? as f64 + stat.starttime as f64 / tick),
            put(&OPEN, process.fd_count()? as f64),
        ];
        if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
            samples.push(put(&MOST, most as f64));
        }
        Ok(samples)
    }
}
