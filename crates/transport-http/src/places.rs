//! Where a client of server-sent events stands, as the id of an event.
//!
//! A browser remembers the id of the last event that it has whole, and says it as it connects anew by itself: the
//! header `Last-Event-ID`. So the id says where the client stands in every channel that recovers, and the browser comes
//! back to what it missed, without a line of code in the page. An id is `tb1`, and `;channel,epoch,offset` for each
//! channel, percent-encoded: text without any character that would make a browser ask before it sends it to another
//! origin. It is no secret and no proof: it says what a connect request may say as well.

use std::fmt::Write;

use http::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tourbillon_transport::{Entry, Message};
use tourbillon_types::{Channel, Epoch, Mark, StreamPosition};

/// The most channels in an id.
const MOST_CHANNELS: usize = 16;

/// The longest id, in bytes.
const LONGEST: usize = 1024;

/// The most bytes of a line with an id.
pub(crate) const LONGEST_LINE: usize = LONGEST + FIELD.len() + 1;

/// As many digits as an offset has.
const DIGITS: usize = 20;

const VERSION: &str = "tb1";

const FIELD: &str = "id: ";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What is encoded in the names of channels. What separates is, and whatever Fetch calls unsafe in a header.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'*')
    .remove(b'+')
    .remove(b'=')
    .remove(b'!');

/// Where one client stands, as its messages are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    known: Known,
    /// Whether the client may have an id.
    told: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    Here(Vec<Place>),
    /// More than an id has room for. It stays so: what was not followed cannot be told.
    TooMany,
}

impl Default for Known {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    channel: Channel,
    /// All of it but the offset, as it stands in an id.
    text: Box<str>,
    offset: u64,
}

impl Place {
    fn new(channel: &Channel, position: &StreamPosition) -> Self {
        let name = utf8_percent_encode(channel.as_str(), ENCODED);
        let epoch = utf8_percent_encode(position.epoch.as_str(), ENCODED);
        let text = format!(";{name},{epoch},").into_boxed_str();
        Self { channel: channel.clone(), text, offset: position.offset }
    }
}

/// What a request says of where its client stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LastEventId {
    /// There are at most as many as an id has.
    pub(crate) places: Vec<(Channel, StreamPosition)>,
    /// For the writer, if the client has an id, ours or not.
    pub(crate) writer: Option<Box<Places>>,
}

impl LastEventId {
    /// Reads the header. What is not an id of ours says nothing: a browser would repeat it with every attempt, and give
    /// up for good at an error.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
            return Self::default();
        };
        let places = value.to_str().ok().and_then(read);
        if places.is_none() {
            tracing::debug!(bytes = value.len(), "Last-Event-ID is none of ours, and ignored");
        }
        let writer = Places { told: true, ..Places::default() };
        Self { places: places.unwrap_or_default(), writer: Some(Box::new(writer)) }
    }
}

/// What an id says; `None` if it is none.
fn read(id: &str) -> Option<Vec<(Channel, StreamPosition)>> {
    if id.len() > LONGEST {
        return None;
    }
    let places = id.strip_prefix(VERSION)?.strip_prefix(';')?;
    let places: Vec<_> = places.split(';').take(MOST_CHANNELS + 1).map(read_place).collect::<Option<_>>()?;
    (places.len() <= MOST_CHANNELS).then_some(places)
}

fn read_place(place: &str) -> Option<(Channel, StreamPosition)> {
    let mut parts = place.split(',');
    let (name, epoch, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    let (name, epoch) = (decoded(name)?, decoded(epoch)?);
    let is_number = !offset.is_empty() && offset.bytes().all(|digit| digit.is_ascii_digit());
    if name.is_empty() || !is_number || parts.next().is_some() {
        return None;
    }
    let position = StreamPosition { offset: offset.parse().ok()?, epoch: Epoch::from(&*epoch) };
    Some((Channel::from(&*name), position))
}

/// Whether an entry makes a client stand somewhere that stood nowhere. Runs do not: they are of publications.
pub(crate) fn begins(entry: Entry<'_>) -> bool {
    match entry {
        Entry::Message(message) => message.mark().is_some_and(Mark::begins),
        Entry::Run(_) | Entry::Rest(_) => false,
    }
}

impl Places {
    /// Takes note of a message that is about to be written. Appends what stands in its event before the data: the line
    /// with where the client stands once it has the event, if the message says something of that.
    pub(crate) fn take(&mut self, message: &Message, to: &mut Vec<u8>) {
        let Some(mark) = message.mark() else { return };
        if !self.follow(mark) {
            return;
        }
        match &self.known {
            Known::Here(places) if !places.is_empty() => {
                self.told = true;
                to.extend_from_slice(FIELD.as_bytes());
                to.extend_from_slice(VERSION.as_bytes());
                let mut digits = String::with_capacity(DIGITS);
                for place in places {
                    digits.clear();
                    // Into a string nothing fails.
                    let _ = write!(digits, "{}", place.offset);
                    to.extend_from_slice(place.text.as_bytes());
                    to.extend_from_slice(digits.as_bytes());
                }
                to.push(b'\n');
            }
            // What the client has is not true any more: an empty id takes it away.
            Known::Here(_) | Known::TooMany => {
                if std::mem::take(&mut self.told) {
                    to.extend_from_slice(b"id\n");
                }
            }
        }
    }

    /// `false`: the mark says nothing of this client.
    fn follow(&mut self, mark: &Mark) -> bool {
        if let Mark::Begin(begun) = mark {
            let places = begun.iter().take(MOST_CHANNELS + 1);
            self.known =
                Known::Here(places.map(|(channel, position)| Place::new(channel, position)).collect());
            self.bound();
            return true;
        }
        let Known::Here(places) = &mut self.known else { return true };
        let at = |channel: &Channel| places.iter().position(|place| place.channel == *channel);
        match mark {
            Mark::Begin(_) => {}
            Mark::Add(channel, position) => {
                let place = Place::new(channel, position);
                match at(channel).and_then(|at| places.get_mut(at)) {
                    Some(old) => *old = place,
                    None => places.push(place),
                }
                self.bound();
            }
            Mark::Move(channel, position) => {
                let Some(place) = at(channel).and_then(|at| places.get_mut(at)) else { return false };
                place.offset = place.offset.max(position.offset);
            }
            Mark::Remove(channel) => {
                let Some(at) = at(channel) else { return false };
                places.remove(at);
            }
        }
        true
    }

    /// Gives up when there is more than an id has room for.
    fn bound(&mut self) {
        let Known::Here(places) = &self.known else { return };
        let length = places.iter().map(|place| place.text.len() + DIGITS).sum::<usize>() + VERSION.len();
        if places.len() > MOST_CHANNELS || length > LONGEST {
            tracing::debug!("a client has more channels than an id of an event has room for, and gets none");
            self.known = Known::TooMany;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(channel: &str, epoch: &str, offset: u64) -> (Channel, StreamPosition) {
        (Channel::from(channel), StreamPosition { offset, epoch: Epoch::from(epoch) })
    }

    fn begin(places: &[(&str, &str, u64)]) -> Mark {
        Mark::Begin(places.iter().map(|(channel, epoch, offset)| at(channel, epoch, *offset)).collect())
    }

    fn moved(channel: &str, offset: u64) -> Mark {
        let (channel, position) = at(channel, "e", offset);
        Mark::Move(channel, position)
    }

    /// The line before the data of a message with this mark.
    fn line(places: &mut Places, mark: impl Into<Option<Mark>>) -> String {
        let mut line = Vec::new();
        places.take(&Message::marked(0, mark.into().map(Box::new), "{}"), &mut line);
        assert!(line.len() <= LONGEST_LINE, "{}", line.len());
        String::from_utf8(line).expect("text")
    }

    fn headers(id: &[u8]) -> HeaderMap {
        let value = http::HeaderValue::from_bytes(id).expect("a value");
        HeaderMap::from_iter([(LAST_EVENT_ID, value)])
    }

    #[test]
    fn an_id_says_where_the_client_stands_in_every_channel() {
        let mut places = Places::default();
        assert_eq!(line(&mut places, None), "", "a ping");
        assert_eq!(line(&mut places, moved("a", 1)), "", "not a channel that recovers");
        assert_eq!(line(&mut places, begin(&[("a", "e", 0), ("b", "f", 7)])), "id: tb1;a,e,0;b,f,7\n");
        assert_eq!(line(&mut places, moved("a", 1)), "id: tb1;a,e,1;b,f,7\n");
        assert_eq!(line(&mut places, moved("c", 5)), "");
        assert_eq!(line(&mut places, None), "");
        let (channel, position) = at("c", "g", 3);
        assert_eq!(line(&mut places, Mark::Add(channel, position)), "id: tb1;a,e,1;b,f,7;c,g,3\n");
        assert_eq!(line(&mut places, Mark::Remove(Channel::from("b"))), "id: tb1;a,e,1;c,g,3\n");
        assert_eq!(line(&mut places, Mark::Remove(Channel::from("b"))), "");
        assert_eq!(line(&mut places, moved("b", 9)), "");
        let (channel, position) = at("a", "h", 0);
        assert_eq!(line(&mut places, Mark::Add(channel, position)), "id: tb1;a,h,0;c,g,3\n", "anew");
        assert_eq!(line(&mut places, Mark::Remove(Channel::from("a"))), "id: tb1;c,g,3\n");
        assert_eq!(line(&mut places, Mark::Remove(Channel::from("c"))), "id\n", "the last");
        assert_eq!(line(&mut places, moved("a", 1)), "");
    }

    #[test]
    fn an_id_comes_back_as_it_went() {
        let odd = ["a", "chat:index", "$private;1,2", "#7", "häuser / 中文 %3B", "a\"(b)<c>?d@e[f]\\{g}"];
        let all: Vec<_> = odd.iter().zip(0..).map(|(name, n)| at(name, "é,;", u64::MAX - n)).collect();
        let line = line(&mut Places::default(), Mark::Begin(all.clone()));
        let id = line.trim_end().strip_prefix(FIELD).expect("an id");
        assert!(
            id.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"():<>?@[\\]{}".contains(&byte)),
            "{id}"
        );
        assert_eq!(LastEventId::of(&headers(id.as_bytes())).places, all);
    }

    proptest! {
        /// Whatever channels are called, and whatever a header says.
        #[test]
        fn any_places_come_back_and_any_header_is_read(
            all in prop::collection::vec((".{1,12}", ".{0,12}", any::<u64>()), 1..MOST_CHANNELS),
            header in "(tb1)?[;,%a-z0-9]{0,40}",
        ) {
            let all: Vec<_> = all.iter().map(|(name, epoch, offset)| at(name, epoch, *offset)).collect();
            let line = line(&mut Places::default(), Mark::Begin(all.clone()));
            let id = line.trim_end().strip_prefix(FIELD).unwrap_or_default();
            let read = LastEventId::of(&headers(id.as_bytes())).places;
            prop_assert!(read == all || (id.is_empty() && read.is_empty()));
            prop_assert!(LastEventId::of(&headers(header.as_bytes())).places.len() <= MOST_CHANNELS);
        }
    }

    #[test]
    fn what_is_no_id_of_ours_says_nothing_and_is_replaced() {
        let long = format!("tb1;{},e,1", "x".repeat(LONGEST));
        let many = format!("tb1{}", ";a,e,1".repeat(MOST_CHANNELS + 1));
        for id in [
            "42",
            "tb1",
            "tb1;",
            "tb2;a,e,1",
            "tb1;a,e",
            "tb1;a,e,",
            "tb1;a,e,x",
            "tb1;a,e,+1",
            "tb1;a,e,-1",
            "tb1;a,e,1,2",
            "tb1;,e,1",
            "tb1;a,e,1;",
            "tb1;a,e,18446744073709551616",
            "tb1;%ff,e,1",
            "TB1;a,e,1",
            &long,
            &many,
        ] {
            let read = LastEventId::of(&headers(id.as_bytes()));
            assert_eq!(read.places, [], "{id}");
            let mut places = read.writer.expect("an id has to be replaced");
            assert_eq!(line(&mut places, None), "", "not before the connection is accepted");
            assert_eq!(line(&mut places, begin(&[])), "id\n");
            assert_eq!(line(&mut places, begin(&[])), "");
        }
        assert_eq!(LastEventId::of(&headers(b"tb1;\xff")).places, []);
        assert_eq!(LastEventId::of(&headers(b"")), LastEventId::default());
        assert_eq!(LastEventId::of(&HeaderMap::new()), LastEventId::default());
        let bound = format!("tb1{}", ";a,,0".repeat(MOST_CHANNELS));
        assert_eq!(LastEventId::of(&headers(bound.as_bytes())).places.len(), MOST_CHANNELS);
    }

    #[test]
    fn more_channels_than_an_id_has_room_for_take_it_away_once() {
        let channel = |number: usize| at(&format!("c{number}"), "e", 1);
        let all = |count| Mark::Begin((0..count).map(channel).collect());
        let mut places = Places::default();
        assert!(line(&mut places, all(MOST_CHANNELS)).starts_with("id: tb1;c0,e,1;"));
        let (one, position) = at("more", "e", 1);
        assert_eq!(line(&mut places, Mark::Add(one.clone(), position)), "id\n");
        assert_eq!(line(&mut places, moved("c0", 2)), "", "once");
        assert_eq!(line(&mut places, Mark::Remove(one)), "", "c0 is at 2, which nobody noted");
        assert_eq!(line(&mut Places::default(), all(MOST_CHANNELS + 1)), "", "it has none");
        let mut long = Places { told: true, ..Places::default() };
        let name = "ß".repeat(LONGEST / 6);
        assert_eq!(line(&mut long, begin(&[(&name, "e", 1)])), "id\n");
        let name = "x".repeat(LONGEST - VERSION.len() - DIGITS - 4);
        assert!(line(&mut long, begin(&[(&name, "e", u64::MAX)])).len() > LONGEST, "as long as it may be");
    }

    #[test]
    fn a_publication_that_comes_again_moves_nothing_back() {
        let mut places = Places::default();
        line(&mut places, begin(&[("a", "e", 5)]));
        assert_eq!(line(&mut places, moved("a", 4)), "id: tb1;a,e,5\n");
    }
}
