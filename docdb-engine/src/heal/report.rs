//! Telling what is damaged, for an operator's log.

use std::fmt;
use std::sync::Arc;

use super::Wanted;
use crate::db::Inner;
use crate::error::Error;

/// Something that does not verify.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DamageFound {
    /// What, naming file and offset, and the document if it is one.
    pub what: String,
    /// Whether it is restored, or will be without anybody's help.
    pub is_healed: bool,
}

/// Told of damage, once for each damaged thing; it must not call the database.
#[derive(Clone)]
pub struct OnDamage(Arc<dyn Fn(DamageFound) + Send + Sync>);

impl OnDamage {
    /// Calls `tell`.
    pub fn new(tell: impl Fn(DamageFound) + Send + Sync + 'static) -> OnDamage {
        OnDamage(Arc::new(tell))
    }
}

impl fmt::Debug for OnDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDamage").finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn tell_damage(&self, what: impl fmt::Display, is_healed: bool) {
        if let Some(OnDamage(tell)) = &self.options.on_damage {
            tell(DamageFound {
                what: what.to_string(),
                is_healed,
            });
        }
    }

    pub(super) fn tell_document(&self, wanted: &Wanted, error: &Error, is_healed: bool) {
        let collection = self.collections.by_id(wanted.key.collection);
        let collection = collection.as_ref().map_or("?", |c| c.name.as_str());
        let id = wanted.key.id;
        let what = format_args!("document {id} of collection {collection:?}: {error}");
        self.tell_damage(what, is_healed);
    }
}
