//! The session state machine, driven through its public interface in virtual time.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod data;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod maps;
#[cfg(test)]
mod ping;
#[cfg(test)]
mod poll;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod subscribe;
#[cfg(test)]
mod table;
#[cfg(test)]
mod unidirectional;
#[cfg(test)]
mod wire;
