//! How a log keeps a publication: without what the log knows of it, and without what few publications have.

use std::sync::Arc;

use tourbillon_types::{Channel, ClientInfo, Epoch, Payload, Publication, Tags};

/// A publication without offset and epoch. Takes 56 bytes besides its data, unless it has something rare.
#[derive(Debug)]
pub(crate) struct Entry {
    /// A copy of its own: what is kept for long must not pin the buffer that it arrived in.
    data: Arc<[u8]>,
    time: i64,
    rare: Option<Box<Rare>>,
    known_json: bool,
}

/// What few publications have.
#[derive(Debug, PartialEq, Eq)]
struct Rare {
    info: Option<Arc<ClientInfo>>,
    tags: Option<Arc<Tags>>,
    channel: Option<Channel>,
    key: Option<Arc<str>>,
    delta: bool,
    removed: bool,
    score: i64,
    version: u64,
}

impl Entry {
    pub(crate) fn new(publication: &Publication) -> Self {
        let Publication { data, info, tags, time, channel, delta, key, removed, score, version, .. } =
            publication;
        let is_plain = info.is_none()
            && tags.is_none()
            && channel.is_none()
            && key.is_none()
            && !(*delta || *removed)
            && (*score, *version) == (0, 0);
        let rare = || Rare {
            info: info.clone(),
            tags: tags.clone(),
            channel: channel.clone(),
            key: key.clone(),
            delta: *delta,
            removed: *removed,
            score: *score,
            version: *version,
        };
        Self {
            data: Arc::from(data.as_ref()),
            time: *time,
            rare: (!is_plain).then(|| Box::new(rare())),
            known_json: data.is_known_json(),
        }
    }

    /// The publication, which shares the bytes of the entry.
    pub(crate) fn publication(&self, offset: u64, epoch: &Epoch) -> Arc<Publication> {
        let mut publication = Publication {
            data: Payload::shared(self.data.clone(), self.known_json),
            offset,
            epoch: epoch.clone(),
            time: self.time,
            ..Publication::default()
        };
        if let Some(rare) = self.rare.as_deref() {
            let Rare { info, tags, channel, key, delta, removed, score, version } = rare;
            publication.info.clone_from(info);
            publication.tags.clone_from(tags);
            publication.channel.clone_from(channel);
            publication.key.clone_from(key);
            (publication.delta, publication.removed) = (*delta, *removed);
            (publication.score, publication.version) = (*score, *version);
        }
        Arc::new(publication)
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_types::UserId;

    use super::*;

    fn rich() -> Publication {
        Publication {
            data: Payload::from_json("{}".into()),
            info: Some(Arc::new(ClientInfo {
                user: UserId::from("user"),
                client: None,
                connection: Payload::from("1"),
                channel: Payload::empty(),
            })),
            offset: 7,
            epoch: Epoch::from("a"),
            tags: Some(Arc::new([("key".to_owned(), "value".to_owned())].into())),
            time: 5,
            channel: Some(Channel::from("b")),
            delta: true,
            key: Some(Arc::from("key")),
            removed: true,
            score: -3,
            version: 9,
        }
    }

    #[test]
    fn what_is_kept_comes_out_as_it_was() {
        let plain = Publication {
            data: Payload::from("text"),
            offset: 7,
            epoch: Epoch::from("a"),
            ..Publication::default()
        };
        let mut all = vec![plain.clone(), rich()];
        // Each rare thing alone is kept, too.
        let changes: [fn(&mut Publication); 8] = [
            |one| one.info = rich().info,
            |one| one.tags = rich().tags,
            |one| one.channel = rich().channel,
            |one| one.key = rich().key,
            |one| one.delta = true,
            |one| one.removed = true,
            |one| one.score = 1,
            |one| one.version = 1,
        ];
        for change in changes {
            let mut one = plain.clone();
            change(&mut one);
            all.push(one);
        }
        for publication in all {
            let read = Entry::new(&publication).publication(7, &Epoch::from("a"));
            assert_eq!(*read, publication);
            assert_eq!(read.data.is_known_json(), publication.data.is_known_json());
        }
    }

    #[test]
    fn readers_share_the_bytes_and_the_buffer_is_free() {
        let buffer = bytes_of(64);
        let publication = Publication { data: Payload::new(buffer.slice(8..16)), ..Publication::default() };
        let entry = Entry::new(&publication);
        drop(publication);
        assert!(buffer.is_unique());
        let (one, other) = (entry.publication(1, &Epoch::UNKNOWN), entry.publication(1, &Epoch::UNKNOWN));
        assert_eq!(one.data.bytes().as_ptr(), other.data.bytes().as_ptr());
    }

    fn bytes_of(length: usize) -> bytes::Bytes {
        bytes::Bytes::from(vec![b'1'; length])
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_entry_is_small() {
        // With the two counters before its bytes 56.
        assert!(size_of::<Entry>() <= 40, "an entry takes {} bytes", size_of::<Entry>());
    }
}
