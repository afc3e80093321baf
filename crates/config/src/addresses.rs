//! Addresses of clients: networks of them, and what each of them may do.

use std::net::IpAddr;

use tourbillon_access::{Bucket, BucketProblem, RateLimiter};
pub use tourbillon_config_syntax::networks::Networks;

/// What an address may do (`client.rate_limit.ip_connect`).
#[derive(Debug)]
pub struct IpLimits {
    /// How often each may connect.
    pub limiter: RateLimiter<IpAddr>,
    /// How many connections each may have at once; 0 for any number.
    pub max_concurrent: usize,
    /// How many are followed at once.
    pub max_tracked: usize,
    /// Who is believed in naming the address of others.
    pub trusted: Networks,
    /// Nobody is refused; what would be is told.
    pub dry_run: bool,
}

impl IpLimits {
    /// Buckets for every address, how many connections it may have at once (0 for any number), how many addresses are
    /// followed at once, and who is believed in naming the address of others.
    ///
    /// # Errors
    ///
    /// The first bucket that cannot be used.
    pub fn new(
        buckets: &[Bucket],
        max_concurrent: usize,
        max_tracked: usize,
        trusted: Networks,
    ) -> Result<Self, BucketProblem> {
        let limiter = RateLimiter::new(buckets, max_tracked)?;
        Ok(Self { limiter, max_concurrent, max_tracked, trusted, dry_run: false })
    }
}
