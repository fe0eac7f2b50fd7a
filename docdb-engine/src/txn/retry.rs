//! Transactions that are repeated until they commit.

use std::time::Duration;

use docdb_types::ErrorKind;

use super::{Txn, TxnOptions};
use crate::db::{Db, Inner};
use crate::error::Error;

/// The pause before the second attempt is about this long; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(250);

impl Db {
    /// Runs `work` in a transaction, commits it, and waits until that is durable. If the transaction
    /// lost to another one, it is begun anew, when what it lost to is visible, and after a pause that
    /// doubles from about 1 ms to 250 ms, until it commits, `attempts_max` is reached or the timeout
    /// has passed. So `work` may run several times: it must do nothing but use the transaction and
    /// compute.
    ///
    /// An error of `work` rolls the transaction back and is the answer; it is not repeated.
    ///
    /// ```
    /// use docdb_engine::{Db, Error, TxnOptions};
    ///
    /// fn transfer(db: &Db, from: u64, to: u64, amount: i64) -> Result<(), Error> {
    ///     db.transact(&TxnOptions::default(), |txn| {
    ///         let mut add = |id, amount: i64| {
    ///             let body = txn.read("_default", id)?.body;
    ///             let held: i64 = String::from_utf8_lossy(&body).parse().unwrap_or(0);
    ///             txn.update("_default", id, (held + amount).to_string().as_bytes())
    ///         };
    ///         add(from, -amount)?;
    ///         add(to, amount)
    ///     })
    /// }
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let temp = tempfile::tempdir().unwrap();
    /// # let db = Db::open(temp.path().join("db"))?;
    /// # for id in [1, 2] {
    /// #     db.submit(&[docdb_engine::WriteOp::create("_default", id, b"10")]).wait()?;
    /// # }
    /// transfer(&db, 1, 2, 3)?;
    /// assert_eq!(&*db.read("_default", 2)?.body, b"13");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `work`; of [`Db::begin`]; of [`Txn::commit`], `Conflict` only after the last attempt.
    pub fn transact<T, E: From<Error>>(
        &self,
        options: &TxnOptions,
        mut work: impl FnMut(&mut Txn) -> Result<T, E>,
    ) -> Result<T, E> {
        options.check()?;
        let inner = &self.inner;
        let deadline = inner.vfs.now() + options.timeout;
        let mut attempt = 1;
        loop {
            let mut txn = self.begin_until(options, inner.vfs.now(), deadline)?;
            let answer = work(&mut txn)?;
            // Also a conflict is told only when what it rests on is visible.
            let conflict = match txn.commit().wait() {
                Ok(_) => return Ok(answer),
                Err(error) if error.kind() == ErrorKind::Conflict => error,
                Err(error) => return Err(error.into()),
            };
            let pause = inner.pause(attempt);
            if attempt >= options.attempts_max || inner.vfs.now() + pause >= deadline {
                return Err(conflict.into());
            }
            attempt += 1;
            std::thread::sleep(pause);
        }
    }
}

impl Inner {
    /// Half of the longest pause after so many attempts, and a random part of the other half: two that
    /// lost to one another do not meet again.
    fn pause(&self, attempts: u32) -> Duration {
        let longest = PAUSE_MIN
            .saturating_mul(1 << attempts.min(16))
            .min(PAUSE_MAX);
        let mut random = [0; 4];
        self.vfs.fill_random(&mut random);
        let part = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        longest.mul_f64(0.5 + part / 2.0)
    }
}
