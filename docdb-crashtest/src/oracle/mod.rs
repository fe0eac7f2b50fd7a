//! Who knows what a database has promised, and says whether it was kept.
//!
//! A [`Journal`] stands outside the directory that is broken: it notes the [`State`] after every commit
//! that was submitted, and how many of them must survive what. A [`Session`] writes to a database and
//! keeps the journal. [`look`] looks at a database in every way there is, and what it has [`Seen`] is
//! compared with the states of the journal by their prints, so that a look costs no copy of a document.

mod backup;
mod change;
mod damaged;
mod journal;
mod look;
mod print;
mod session;
mod state;

pub use backup::{BACKUP_DIR, BackedUp, backup_holds};
pub use change::{Change, Touched, Work, Written};
pub use damaged::Damaged;
pub use journal::{Commit, Ended, Journal, Loss};
pub use look::{Care, Seen, check_space, look, settle, show};
pub(crate) use print::Hash;
pub use print::{Print, document_print};
pub use session::{Answer, Session, Stop, Submitted};
pub use state::{Collection, Op, Refused, State};
