//! How streams look in the file: numbers in little endian, texts and bytes after their length.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{Channel, ClientInfo, Epoch, Payload, Publication, Tags, UserId};

use super::Meta;

/// The format that this module writes.
pub(super) const FORMAT: u64 = 1;

pub(super) fn encode_meta(meta: &Meta) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    text(&mut out, meta.epoch.as_str());
    number(&mut out, meta.top);
    number(&mut out, meta.published.cast_unsigned());
    number(&mut out, millis(meta.ttl));
    number(&mut out, millis(meta.meta_ttl));
    number(&mut out, meta.version);
    text(&mut out, &meta.version_epoch);
    out
}

pub(super) fn decode_meta(bytes: &[u8]) -> Option<Meta> {
    let mut from = Reader(bytes);
    let meta = Meta {
        epoch: Epoch::from(from.text()?),
        top: from.number()?,
        published: from.number()?.cast_signed(),
        ttl: Duration::from_millis(from.number()?),
        meta_ttl: Duration::from_millis(from.number()?),
        version: from.number()?,
        version_epoch: from.text()?.to_owned(),
    };
    from.0.is_empty().then_some(meta)
}

pub(super) fn encode_publication(publication: &Publication) -> Vec<u8> {
    let mut out = Vec::with_capacity(publication.data.len() + 32);
    payload(&mut out, &publication.data);
    number(&mut out, publication.time.cast_unsigned());
    let tags = publication.tags.as_deref();
    number(&mut out, tags.map_or(0, |tags| tags.len() as u64 + 1));
    for (key, value) in tags.into_iter().flatten() {
        text(&mut out, key);
        text(&mut out, value);
    }
    out.push(u8::from(publication.info.is_some()));
    if let Some(info) = &publication.info {
        text(&mut out, &info.user);
        text(&mut out, &info.client.map(|client| client.to_string()).unwrap_or_default());
        payload(&mut out, &info.connection);
        payload(&mut out, &info.channel);
    }
    out
}

/// A publication without its epoch.
pub(super) fn decode_publication(offset: u64, bytes: &[u8]) -> Option<Publication> {
    let mut from = Reader(bytes);
    let data = from.payload()?;
    let time = from.number()?.cast_signed();
    let tags = match from.number()?.checked_sub(1) {
        None => None,
        Some(count) => {
            let tags = (0..count).map(|_| Some((from.text()?.to_owned(), from.text()?.to_owned())));
            Some(Arc::new(tags.collect::<Option<Tags>>()?))
        }
    };
    let info = match from.byte()? {
        0 => None,
        1 => Some(Arc::new(from.info()?)),
        _ => return None,
    };
    from.0.is_empty().then(|| Publication { data, time, tags, info, offset, ..Publication::default() })
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}

fn payload(out: &mut Vec<u8>, payload: &Payload) {
    out.push(u8::from(payload.is_known_json()));
    bytes(out, payload.as_ref());
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn payload(&mut self) -> Option<Payload> {
        let known_json = self.byte()?;
        let payload = Payload::from(self.bytes()?.to_vec());
        match known_json {
            0 => Some(payload),
            1 => Some(Payload::from_json(payload.into_bytes())),
            _ => None,
        }
    }

    fn info(&mut self) -> Option<ClientInfo> {
        let user = UserId::from(self.text()?);
        let client = match self.text()? {
            "" => None,
            client => Some(client.parse().ok()?),
        };
        Some(ClientInfo { user, client, connection: self.payload()?, channel: self.payload()? })
    }
}

/// How much of memory a publication takes that waits to be written, roughly.
pub(super) fn weight(channel: &Channel, publication: &Publication) -> usize {
    256 + channel.len() + publication.data.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tourbillon_types::ClientId;

    use super::*;

    fn any_payload() -> impl Strategy<Value = Payload> {
        let bytes = prop::collection::vec(any::<u8>(), 0..40);
        (bytes, any::<bool>()).prop_map(|(bytes, json)| {
            let payload = Payload::from(bytes);
            if json { Payload::from_json(payload.into_bytes()) } else { payload }
        })
    }

    prop_compose! {
        fn any_info()(
            user in ".{0,8}",
            client: Option<[u8; 16]>,
            connection in any_payload(),
            channel in any_payload(),
        ) -> Arc<ClientInfo> {
            let client = client.map(ClientId::from_random);
            Arc::new(ClientInfo { user: UserId::from(user.as_str()), client, connection, channel })
        }
    }

    prop_compose! {
        fn any_publication()(
            data in any_payload(),
            time: i64,
            offset: u64,
            tags in prop::option::of(prop::collection::btree_map(".{0,5}", ".{0,5}", 0..3)),
            info in prop::option::of(any_info()),
        ) -> Publication {
            Publication { data, time, offset, tags: tags.map(Arc::new), info, ..Publication::default() }
        }
    }

    proptest! {
        #[test]
        fn publications_come_back_as_they_were(publication in any_publication()) {
            let bytes = encode_publication(&publication);
            let decoded = decode_publication(publication.offset, &bytes).expect("readable");
            prop_assert_eq!(decoded.data.is_known_json(), publication.data.is_known_json());
            prop_assert_eq!(decoded, publication);
            prop_assert_eq!(decode_publication(1, bytes.get(..bytes.len() - 1).unwrap_or_default()), None);
        }

        #[test]
        fn metas_come_back_as_they_were(top: u64, published: i64, version: u64, epoch in "[a-z]{0,8}") {
            let meta = Meta {
                epoch: Epoch::from(epoch.as_str()),
                top,
                published,
                ttl: Duration::from_secs(60),
                meta_ttl: Duration::from_millis(top >> 1),
                version,
                version_epoch: epoch,
            };
            let bytes = encode_meta(&meta);
            prop_assert_eq!(decode_meta(&bytes), Some(meta));
            prop_assert_eq!(decode_meta(&[bytes.as_slice(), b"x"].concat()), None);
        }

        #[test]
        fn whatever_else_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_meta(&bytes);
            let _ = decode_publication(1, &bytes);
        }
    }
}
