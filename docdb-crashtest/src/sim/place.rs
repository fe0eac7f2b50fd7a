//! Names of cases: a life, the steps of it that are lived, and the crashes that came, in order.

use std::fmt;
use std::str::FromStr;

use docdb_engine::Durability;
use docdb_vfs::sim::{CrashPolicy, SectorSize};

use super::pools::{self, PoolStep};
use crate::life::{MODES, NAMED, Setup, Step, generate};
use crate::rng::Rng;

/// Steps of a random life.
const STEPS: usize = 26;
/// Steps of one that is not crashed at every operation.
const STEPS_LONG: usize = 100;
/// Steps of a pool's life.
const STEPS_POOL: usize = 14;

/// Where the steps of a life come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// That of [`NAMED`] with this name, in the mode with this number.
    Named(usize, usize),
    /// A random one, from this seed.
    Random(u64),
    /// A long random one, from this seed.
    Long(u64),
    /// A random one of a pool, from this seed.
    Pool(u64),
}

/// A crash: before which operation of the life, or of the recovery from the crash before it.
pub(super) type Crash = (usize, CrashPolicy);

/// A case of which everything follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Source,
    /// The numbers of the steps that are lived; all if there is none.
    pub(super) kept: Option<Vec<usize>>,
    pub(super) crashes: Vec<Crash>,
}

/// What is lived.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// That of the disk.
    pub(super) seed: u64,
    pub(super) steps: Steps,
}

/// The steps of a life.
#[derive(Debug, Clone)]
pub(super) enum Steps {
    /// Of one database, which is created with these options.
    One(Setup, Vec<Step>),
    /// Of a pool.
    Pool(Vec<PoolStep>),
}

impl Script {
    /// How many steps there are.
    pub(super) fn len(&self) -> usize {
        match &self.steps {
            Steps::One(_, steps) => steps.len(),
            Steps::Pool(steps) => steps.len(),
        }
    }

    /// The steps for people, one line each.
    pub(super) fn lines(&self) -> Vec<String> {
        match &self.steps {
            Steps::One(setup, steps) => {
                let steps = steps.iter().map(|step| format!("{step:?}"));
                let begin = format!("create with {setup:?}");
                std::iter::once(begin).chain(steps).collect()
            }
            Steps::Pool(steps) => steps.iter().map(|step| format!("{step:?}")).collect(),
        }
    }
}

fn of<T: Clone>(kept: &[usize], steps: &[T]) -> Vec<T> {
    let steps = kept.iter().filter_map(|n| steps.get(*n).cloned());
    steps.collect()
}

impl Place {
    pub(super) fn new(source: Source) -> Place {
        Place {
            source,
            kept: None,
            crashes: Vec::new(),
        }
    }

    pub(super) fn then(&self, operation: usize, policy: CrashPolicy) -> Place {
        let mut place = self.clone();
        place.crashes.push((operation, policy));
        place
    }

    fn mode(&self) -> Durability {
        match self.source {
            Source::Named(_, mode) => MODES[mode],
            Source::Random(seed) | Source::Long(seed) | Source::Pool(seed) => {
                MODES[(seed % MODES.len() as u64) as usize]
            }
        }
    }

    /// The steps of the whole life.
    fn whole(&self) -> Script {
        let mode = self.mode();
        match self.source {
            Source::Named(number, at) => Script {
                seed: (number * MODES.len() + at) as u64,
                steps: Steps::One(NAMED[number].setup(mode), NAMED[number].steps(mode)),
            },
            Source::Pool(seed) => Script {
                seed,
                steps: Steps::Pool(pools::generate(&mut Rng::fork(seed, 2), STEPS_POOL)),
            },
            Source::Random(seed) | Source::Long(seed) => {
                let steps = match self.source {
                    Source::Long(_) => STEPS_LONG,
                    _ => STEPS,
                };
                let mut rng = Rng::fork(seed, 1);
                let setup = Setup::draw(&mut rng, mode);
                Script {
                    seed,
                    steps: Steps::One(setup, generate(&mut rng, setup, steps)),
                }
            }
        }
    }

    pub(super) fn script(&self) -> Script {
        let mut script = self.whole();
        if let Some(kept) = &self.kept {
            script.steps = match script.steps {
                Steps::One(setup, steps) => Steps::One(setup, of(kept, &steps)),
                Steps::Pool(steps) => Steps::Pool(of(kept, &steps)),
            };
        }
        script
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Named(number, mode) => {
                write!(f, "{}/{}", NAMED[*number].name, MODES[*mode].name())?;
            }
            Source::Random(seed) => write!(f, "life/{seed:#x}")?,
            Source::Long(seed) => write!(f, "long/{seed:#x}")?,
            Source::Pool(seed) => write!(f, "pool/{seed:#x}")?,
        }
        if let Some(kept) = &self.kept {
            let kept: Vec<String> = kept.iter().map(usize::to_string).collect();
            write!(f, "/steps={}", kept.join(","))?;
        }
        for (operation, policy) in &self.crashes {
            write!(f, "/{operation}:{}", Named(*policy))?;
        }
        Ok(())
    }
}

struct Named(CrashPolicy);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CrashPolicy::DropOne(unit) => write!(f, "drop={unit}"),
            CrashPolicy::KeepOne(unit) => write!(f, "keep={unit}"),
            CrashPolicy::Subset(bits) => write!(f, "subset={bits:#x}"),
            CrashPolicy::Random { seed, sector } => {
                write!(f, "random={seed:#x}+{}", sector.bytes())
            }
            CrashPolicy::Torn { seed, sector } => write!(f, "torn={seed:#x}+{}", sector.bytes()),
            CrashPolicy::KeepAll => f.write_str("all"),
            CrashPolicy::KeepNone => f.write_str("none"),
            _ => f.write_str("kill"),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn policy(text: &str) -> Option<CrashPolicy> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let unit = || number(value).map(|unit| unit as usize);
    let seeded = || {
        let (seed, bytes) = value.split_once('+')?;
        let sector = match bytes {
            "512" => SectorSize::Bytes512,
            "4096" => SectorSize::Bytes4096,
            _ => return None,
        };
        Some((number(seed)?, sector))
    };
    Some(match name {
        "kill" => CrashPolicy::Kill,
        "all" => CrashPolicy::KeepAll,
        "none" => CrashPolicy::KeepNone,
        "drop" => CrashPolicy::DropOne(unit()?),
        "keep" => CrashPolicy::KeepOne(unit()?),
        "subset" => CrashPolicy::Subset(number(value)?),
        "random" => seeded().map(|(seed, sector)| CrashPolicy::Random { seed, sector })?,
        "torn" => seeded().map(|(seed, sector)| CrashPolicy::Torn { seed, sector })?,
        _ => return None,
    })
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let wrong = || format!("{text} names no case of the simulation");
        let mut parts = text.split('/');
        let (first, second) = parts.next().zip(parts.next()).ok_or_else(wrong)?;
        let seed = || number(second).ok_or_else(wrong);
        let source = if first == "life" {
            Source::Random(seed()?)
        } else if first == "long" {
            Source::Long(seed()?)
        } else if first == "pool" {
            Source::Pool(seed()?)
        } else {
            let named = NAMED.iter().position(|named| named.name == first);
            let mode = MODES.iter().position(|mode| mode.name() == second);
            Source::Named(named.ok_or_else(wrong)?, mode.ok_or_else(wrong)?)
        };
        let mut place = Place::new(source);
        for part in parts {
            if let Some(kept) = part.strip_prefix("steps=") {
                let kept = kept.split(',').filter(|n| !n.is_empty());
                let kept: Option<Vec<usize>> = kept.map(|n| n.parse().ok()).collect();
                place.kept = Some(kept.ok_or_else(wrong)?);
                continue;
            }
            let (operation, name) = part.split_once(':').ok_or_else(wrong)?;
            let operation = operation.parse().map_err(|_| wrong())?;
            place
                .crashes
                .push((operation, policy(name).ok_or_else(wrong)?));
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back() {
        let texts = [
            "merge/os",
            "long/0x7/steps=1",
            "pool/0x9/3:none",
            "life/0x1f/steps=0,3,9/12:none/3:torn=0xabc+512",
            "life/0x0/7:drop=3/0:keep=4/1:subset=0x15/2:kill/3:all/4:random=0x1+4096",
        ];
        for text in texts {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), text);
        }
        for text in [
            "",
            "life",
            "nobody/full",
            "life/1/x",
            "life/1/3:what",
            "merge/never",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
