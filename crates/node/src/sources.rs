//! Publications that the application has for single subscriptions of a connection (PRX-50).

use std::fmt;
use std::task::{Context, Poll};

use tourbillon_types::{Channel, Publication, Unsubscribe};

use crate::hooks::Source;

/// A subscription's source, from the answer of the application until its session has the subscription.
pub(crate) struct Begun {
    pub(crate) source: Box<dyn Source>,
    /// What stands for the channel's name in pushes; 0 for nothing.
    pub(crate) number: i64,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The sources of a connection. Most have none.
#[derive(Default)]
pub(crate) struct Sources(Vec<(Channel, Begun)>);

/// What came of a source.
pub(crate) enum Sourced {
    Publication {
        channel: Channel,
        number: i64,
        publication: Publication,
    },
    /// There are no more, and the source is gone.
    End(Channel, Unsubscribe),
}

impl Sources {
    pub(crate) fn add(&mut self, channel: &Channel, begun: Begun) {
        self.remove(channel);
        self.0.push((channel.clone(), begun));
    }

    pub(crate) fn remove(&mut self, channel: &str) {
        self.0.retain(|(other, _)| **other != *channel);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What one of them has, while there is budget. Who had something goes to the end, so that all get their turns.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, budget: &mut u32) -> Option<Sourced> {
        let sources = &mut self.0;
        if sources.is_empty() {
            return None;
        }
        if *budget == 0 {
            cx.waker().wake_by_ref();
            return None;
        }
        for at in 0..sources.len() {
            let Some((channel, begun)) = sources.get_mut(at) else { break };
            let Poll::Ready(next) = begun.source.poll_next(cx) else { continue };
            *budget -= 1;
            let (channel, number) = (channel.clone(), begun.number);
            return Some(match next {
                Ok(publication) => {
                    let turn = sources.remove(at);
                    sources.push(turn);
                    Sourced::Publication { channel, number, publication }
                }
                Err(why) => {
                    self.remove(&channel);
                    Sourced::End(channel, why)
                }
            });
        }
        None
    }
}
