//! Names that are kept until a time, for all nodes (PRO-34 to PRO-36).

use fred::types::Value;
use tourbillon_broker::{BrokerError, Record, RecordsVersion};
use tourbillon_types::Epoch;

use crate::client::{ConnectError, number, parts, run, text};
use crate::config::ShardConfig;
use crate::scripts::{RECORDS_FORGET, RECORDS_KEEP, RECORDS_PAGE, Script};
use crate::shard::Shard;

/// How many are read at once.
const PAGE: usize = 1024;

/// How often all are read anew that change meanwhile.
const TRIES: usize = 8;

/// Names that are kept until a time, on one shard: with several, records would be lost when one more is added.
///
/// Kept as `<prefix>.{<kind>}.ends`, with `.numbers` and `.about` beside it. Whoever wants to know them all reads them, and
/// asks now and then for the version.
#[derive(Debug)]
pub struct RedisRecords {
    shard: Shard,
    kind: &'static str,
    limit: usize,
}

impl RedisRecords {
    /// Connects to the shard. `kind` tells these records from others of the same prefix, and `limit` is the most there may
    /// be.
    ///
    /// # Errors
    ///
    /// When it cannot be reached or does not take us.
    pub async fn connect(
        shard: ShardConfig,
        prefix: &str,
        kind: &'static str,
        limit: usize,
    ) -> Result<Self, ConnectError> {
        Ok(Self { shard: Shard::connect(shard, prefix).await?, kind, limit })
    }

    async fn ask(&self, script: &'static Script, args: Vec<Value>) -> Result<Value, BrokerError> {
        run(&self.shard.commands, script, self.shard.keys.of_records(self.kind), args).await
    }

    /// Says what the connection is called whenever it has come back. Does not end by itself.
    ///
    /// # Cancel safety
    ///
    /// It can be called again.
    pub async fn look_after(&self) {
        self.shard.keep().await;
    }

    /// Keeps a record. Of one with the same name, the later end and the larger number count. `false`: there is no room.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked: then it may be kept or not.
    ///
    /// # Cancel safety
    ///
    /// It may be kept or not.
    pub async fn keep(&self, record: &Record, now: i64) -> Result<bool, BrokerError> {
        let args = vec![
            record.name.as_str().into(),
            record.until.map_or_else(|| "+inf".to_owned(), |until| until.to_string()).into(),
            record.number.to_string().into(),
            now.to_string().into(),
            self.limit.to_string().into(),
            Epoch::random().as_str().into(),
        ];
        Ok(number(&self.ask(&RECORDS_KEEP, args).await?)? == 1)
    }

    /// Forgets the record of this name.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked: then it may be forgotten or not.
    ///
    /// # Cancel safety
    ///
    /// It may be forgotten or not.
    pub async fn forget(&self, name: &str) -> Result<(), BrokerError> {
        self.ask(&RECORDS_FORGET, vec![name.into(), Epoch::random().as_str().into()]).await?;
        Ok(())
    }

    /// Which state the records are in.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn version(&self) -> Result<RecordsVersion, BrokerError> {
        Ok(self.page(0, 0).await?.0)
    }

    /// All records, of one moment. Those that are over may be among them.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked, or the records change faster than they can be read.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn all(&self) -> Result<(RecordsVersion, Vec<Record>), BrokerError> {
        for _ in 0..TRIES {
            if let Some(all) = self.try_all().await? {
                return Ok(all);
            }
        }
        Err(BrokerError::unavailable("records change faster than they can be read"))
    }

    /// `None` if they have changed meanwhile.
    async fn try_all(&self) -> Result<Option<(RecordsVersion, Vec<Record>)>, BrokerError> {
        let (version, mut all) = self.page(0, PAGE).await?;
        let mut read = PAGE;
        while all.len() == read {
            let (then, more) = self.page(read, PAGE).await?;
            if then != version {
                return Ok(None);
            }
            all.extend(more);
            read += PAGE;
        }
        Ok(Some((version, all)))
    }

    async fn page(&self, first: usize, count: usize) -> Result<(RecordsVersion, Vec<Record>), BrokerError> {
        let args = vec![first.to_string().into(), count.to_string().into()];
        let [life, version, found] = parts(self.ask(&RECORDS_PAGE, args).await?)?;
        let version = RecordsVersion::new(text(&life)?, number(&version)?);
        let Value::Array(found) = found else {
            return Err(BrokerError::internal("Redis answered something else than records"));
        };
        let mut records = Vec::with_capacity(found.len() / 3);
        let mut found = found.into_iter();
        while let (Some(name), Some(until), Some(number)) = (found.next(), found.next(), found.next()) {
            records.push(Record::new(text(&name)?, end(&until)?, whole(&number)?));
        }
        Ok((version, records))
    }
}

/// A score that is a time. The script's numbers are texts, and may have fractions or exponents.
fn end(score: &Value) -> Result<Option<i64>, BrokerError> {
    let score = text(score)?;
    if matches!(score.as_str(), "inf" | "+inf") { Ok(None) } else { parsed(&score).map(Some) }
}

fn whole(score: &Value) -> Result<i64, BrokerError> {
    parsed(&text(score)?)
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest whole number there is")]
fn parsed(score: &str) -> Result<i64, BrokerError> {
    let wrong = |_| BrokerError::internal("a record in Redis has no time");
    score.parse::<i64>().or_else(|_| score.parse::<f64>().map(|score| score as i64)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_redis_writes_them() {
        for (score, expected) in [
            ("+inf", None),
            ("inf", None),
            ("1700000000", Some(1_700_000_000)),
            ("1e+17", Some(10_i64.pow(17))),
        ] {
            assert_eq!(end(&score.into()).ok(), Some(expected), "{score}");
        }
        assert!(end(&"soon".into()).is_err());
    }
}
