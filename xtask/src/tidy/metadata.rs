//! What Cargo knows of the workspace and its dependencies.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The part of `cargo metadata` that the checks read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    pub(super) workspace_members: Vec<String>,
    pub(super) resolve: Resolve,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Resolve {
    pub(super) nodes: Vec<Node>,
}

/// A package and what it was resolved to depend on.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) deps: Vec<NodeDep>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NodeDep {
    pub(super) pkg: String,
    pub(super) dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DepKind {
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) license: Option<String>,
    pub(super) license_file: Option<String>,
    pub(super) description: Option<String>,
    pub(super) readme: Option<String>,
    /// The registries that it may go to; `None` for all of them.
    pub(super) publish: Option<Vec<String>>,
    /// `None` for a package on this disk.
    pub(super) source: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    pub(super) kind: Vec<String>,
}

impl Metadata {
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|p| self.workspace_members.contains(&p.id))
    }

    /// Names by package id.
    pub(super) fn names(&self) -> HashMap<&str, &str> {
        self.packages
            .iter()
            .map(|p| (p.id.as_str(), p.name.as_str()))
            .collect()
    }
}

pub(super) fn load(root: &Path) -> Result<Metadata, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--all-features"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo metadata failed: {}", message.trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A workspace for tests: members by name with their normal dependencies, others by name alone.
#[cfg(test)]
pub(super) fn of(members: &[(&str, &[&str])], others: &[(&str, &[&str])]) -> Metadata {
    let mut metadata = Metadata::default();
    for (i, (name, deps)) in members.iter().chain(others).enumerate() {
        let is_member = i < members.len();
        metadata.packages.push(Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            license: Some("MIT".to_owned()),
            license_file: None,
            description: Some("x".to_owned()),
            readme: Some("README.md".to_owned()),
            publish: None,
            source: (!is_member)
                .then(|| "registry+https://github.com/rust-lang/crates.io-index".to_owned()),
            dependencies: deps
                .iter()
                .map(|d| Dependency {
                    name: (*d).to_owned(),
                    kind: None,
                })
                .collect(),
            targets: vec![Target {
                kind: vec!["lib".to_owned()],
            }],
        });
        metadata.resolve.nodes.push(Node {
            id: (*name).to_owned(),
            deps: deps
                .iter()
                .map(|d| NodeDep {
                    pkg: (*d).to_owned(),
                    dep_kinds: vec![DepKind { kind: None }],
                })
                .collect(),
        });
        if is_member {
            metadata.workspace_members.push((*name).to_owned());
        }
    }
    metadata
}
