//! The shell's language: a word that starts with a dot, and what it needs.

use docdb_client::ErrorKind;

use crate::failure::Failure;

/// Every command: its word, what follows it, and what it does.
pub(super) const COMMANDS: &[(&str, &str, &str)] = &[
    (
        ".open",
        "DB",
        "open a database, created if it does not exist",
    ),
    (".use", "COLL", "work on a collection of the open database"),
    (".close", "", "leave the database"),
    (".create", "ID JSON", "create a document"),
    (".read", "ID", "print a document"),
    (".update", "ID JSON", "replace a document"),
    (
        ".patch",
        "ID JSON",
        "change parts of a document: [{\"op\",\"path\",\"value\"}, ...]",
    ),
    (".delete", "ID", "delete a document"),
    (
        ".collections",
        "",
        "list collections: name, tab, number of documents",
    ),
    (
        ".begin",
        "[serializable]",
        "begin a transaction, which lasts 60 s at most",
    ),
    (".commit", "", "commit the transaction"),
    (
        ".rollback",
        "",
        "end the transaction, nothing of it is written",
    ),
    (".create-collection", "COLL", "create a collection"),
    (".drop-collection", "COLL [--force]", "drop a collection"),
    (".ls", "", "list databases"),
    (".pwd", "", "print the open database and collection"),
    (
        ".stats",
        "[DB]",
        "print statistics of the server or of a database",
    ),
    (".mem", "", "print the memory of the open databases by part"),
    (".wal", "[DB]", "print figures of a database's log"),
    (
        ".heal",
        "ID",
        "verify a document, and restore it if it is damaged",
    ),
    (
        ".heal-all",
        "[DB]",
        "verify all of a database, and restore what is damaged",
    ),
    (
        ".heal-stats",
        "[DB]",
        "print what healing has found and done",
    ),
    (".pretty", "[on|off]", "print documents over several lines"),
    (".history", "", "print the commands of this session"),
    (".help", "", "print this list"),
    (".exit", "", "leave the shell"),
];

/// A command that makes sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Open(&'a str),
    Use(&'a str),
    Close,
    Create { id: u64, json: &'a str },
    Read { id: u64 },
    Update { id: u64, json: &'a str },
    Patch { id: u64, json: &'a str },
    Delete { id: u64 },
    Collections,
    Begin { serializable: bool },
    Commit,
    Rollback,
    CreateCollection(&'a str),
    DropCollection { name: &'a str, force: bool },
    Ls,
    Pwd,
    Stats(Option<&'a str>),
    Mem,
    Wal(Option<&'a str>),
    Heal { id: u64 },
    HealAll(Option<&'a str>),
    HealStats(Option<&'a str>),
    Pretty(Option<bool>),
    History,
    Help,
    Exit,
}

/// The command of a line; `None` for an empty line.
pub(super) fn parse(line: &str) -> Result<Option<Command<'_>>, Failure> {
    let (word, rest) = split_word(line);
    if word.is_empty() {
        return Ok(None);
    }
    let usage = || usage(word);
    let one = || {
        if rest.trim().is_empty() {
            Err(usage())
        } else {
            Ok(rest.trim())
        }
    };
    let optional = || Some(rest.trim()).filter(|rest| !rest.is_empty());
    let id = |text: &str| text.parse::<u64>().map_err(|_| usage());
    let alone = |command| {
        if rest.trim().is_empty() {
            Ok(command)
        } else {
            Err(usage())
        }
    };
    let document = || {
        let (first, json) = split_word(rest);
        if json.is_empty() {
            Err(usage())
        } else {
            Ok((id(first)?, json))
        }
    };
    Ok(Some(match word {
        ".open" => Command::Open(one()?),
        ".use" => Command::Use(one()?),
        ".close" => alone(Command::Close)?,
        ".create" => {
            let (id, json) = document()?;
            Command::Create { id, json }
        }
        ".read" => Command::Read {
            id: id(rest.trim())?,
        },
        ".update" => {
            let (id, json) = document()?;
            Command::Update { id, json }
        }
        ".patch" => {
            let (id, json) = document()?;
            Command::Patch { id, json }
        }
        ".delete" => Command::Delete {
            id: id(rest.trim())?,
        },
        ".collections" => alone(Command::Collections)?,
        ".begin" => Command::Begin {
            serializable: match optional() {
                None => false,
                Some("serializable") => true,
                Some(_) => return Err(usage()),
            },
        },
        ".commit" => alone(Command::Commit)?,
        ".rollback" => alone(Command::Rollback)?,
        ".create-collection" => Command::CreateCollection(one()?),
        ".drop-collection" => {
            let rest = one()?;
            match rest.strip_suffix("--force") {
                Some(name) if name.ends_with(char::is_whitespace) => Command::DropCollection {
                    name: name.trim(),
                    force: true,
                },
                _ => Command::DropCollection {
                    name: rest,
                    force: false,
                },
            }
        }
        ".ls" => alone(Command::Ls)?,
        ".pwd" => alone(Command::Pwd)?,
        ".stats" => Command::Stats(optional()),
        ".mem" => alone(Command::Mem)?,
        ".wal" => Command::Wal(optional()),
        ".heal" => Command::Heal {
            id: id(rest.trim())?,
        },
        ".heal-all" => Command::HealAll(optional()),
        ".heal-stats" => Command::HealStats(optional()),
        ".pretty" => Command::Pretty(match optional() {
            None => None,
            Some("on") => Some(true),
            Some("off") => Some(false),
            Some(_) => return Err(usage()),
        }),
        ".history" => alone(Command::History)?,
        ".help" => alone(Command::Help)?,
        ".exit" => alone(Command::Exit)?,
        _ => {
            return Err(invalid(format!(
                "unknown command {word}; .help lists the commands"
            )));
        }
    }))
}

/// The first word and what follows the space after it. What follows keeps its own trailing space:
/// it may be a document.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn usage(word: &str) -> Failure {
    let needs = COMMANDS
        .iter()
        .find(|(name, ..)| *name == word)
        .map_or("", |(_, needs, _)| *needs);
    invalid(format!("usage: {word} {needs}").trim_end().to_owned())
}

fn invalid(message: String) -> Failure {
    Failure::new(ErrorKind::InvalidArgument, message)
}

/// What `.help` prints.
pub(super) fn help() -> String {
    let mut text = String::new();
    for (word, needs, what) in COMMANDS {
        let usage = format!("{word} {needs}");
        text.push_str(&format!("{usage:<34}{what}\n"));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_kept_as_typed() {
        let command = parse(" .create  7   { \"a\" : \"x  y\" }  ")
            .unwrap()
            .unwrap();
        assert_eq!(
            command,
            Command::Create {
                id: 7,
                json: "{ \"a\" : \"x  y\" }  "
            }
        );
        let command = parse(".update 18446744073709551615 -1.50")
            .unwrap()
            .unwrap();
        assert_eq!(
            command,
            Command::Update {
                id: u64::MAX,
                json: "-1.50"
            }
        );
    }

    #[test]
    fn commands() {
        for (line, expected) in [
            (".open my db", Command::Open("my db")),
            (".read 3 ", Command::Read { id: 3 }),
            (
                ".drop-collection c",
                Command::DropCollection {
                    name: "c",
                    force: false,
                },
            ),
            (
                ".drop-collection a b --force",
                Command::DropCollection {
                    name: "a b",
                    force: true,
                },
            ),
            (".stats", Command::Stats(None)),
            (".stats d", Command::Stats(Some("d"))),
            (".mem", Command::Mem),
            (".wal", Command::Wal(None)),
            (".wal d", Command::Wal(Some("d"))),
            (".heal 7", Command::Heal { id: 7 }),
            (".heal-all", Command::HealAll(None)),
            (".heal-stats d", Command::HealStats(Some("d"))),
            (
                ".begin",
                Command::Begin {
                    serializable: false,
                },
            ),
            (".begin serializable", Command::Begin { serializable: true }),
            (".commit", Command::Commit),
            (".rollback", Command::Rollback),
            (".pretty", Command::Pretty(None)),
            (".pretty off", Command::Pretty(Some(false))),
            (".exit", Command::Exit),
        ] {
            assert_eq!(parse(line).unwrap(), Some(expected), "{line}");
        }
        assert_eq!(parse("  \t").unwrap(), None);
    }

    #[test]
    fn every_command_that_help_names_is_known_and_wrong_ones_say_how() {
        for (word, needs, _) in COMMANDS {
            let line = match *needs {
                "" => (*word).to_owned(),
                needs => format!(
                    "{word} {}",
                    needs
                        .replace("ID", "1")
                        .replace("[on|off]", "on")
                        .replace("[serializable]", "serializable")
                ),
            };
            assert!(parse(&line).is_ok(), "{line}");
            assert!(help().contains(word));
        }
        for line in [
            ".read",
            ".read x",
            ".create 1",
            ".create x {}",
            ".open",
            ".pretty yes",
            ".begin soon",
        ] {
            let message = parse(line).unwrap_err().line();
            assert!(
                message.starts_with("ERROR InvalidArgument: usage: ."),
                "{message}"
            );
        }
        assert!(parse("read 1").unwrap_err().line().contains(".help"));
        assert!(parse(".exit now").is_err());
    }
}
