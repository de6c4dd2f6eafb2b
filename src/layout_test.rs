//! Checks what the layout promises: each room imports only from rooms below it, no files import one
//! another in a circle, only `napi/` knows N-API, and no two files or types share a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From top to bottom.
const ROOMS: [&str; 6] = ["napi", "io", "session", "redis", "error", "test_panics"];

/// A file by its module path, such as `["io", "call"]`, with its code.
type Files = BTreeMap<Vec<String>, String>;
/// The files that each file imports from.
type Imports = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

#[test]
fn each_room_imports_only_from_rooms_below_it() {
    let rank = |module: &[String]| ROOMS.iter().position(|room| *room == module[0]);
    for (from, targets) in imports(&files()) {
        for to in targets {
            let (above, below) = (rank(&from), rank(&to));
            assert!(
                above.is_some() && below.is_some(),
                "{from:?} → {to:?}: no room"
            );
            assert!(above <= below, "{from:?} imports from {to:?}, above it");
        }
    }
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let mut imports = imports(&files());
    // What imports from nothing that is left is in no circle.
    while let Some(leaf) = imports
        .iter()
        .find(|(_, targets)| targets.is_empty())
        .map(|(from, _)| from.clone())
    {
        imports.remove(&leaf);
        for targets in imports.values_mut() {
            targets.remove(&leaf);
        }
    }
    let circles: Vec<String> = imports
        .iter()
        .flat_map(|(from, targets)| targets.iter().map(move |to| (from, to)))
        .map(|(from, to)| format!("{} imports from {}", from.join("/"), to.join("/")))
        .collect();
    assert!(circles.is_empty(), "circles: {circles:#?}");
}

#[test]
fn only_the_napi_room_knows_n_api() {
    for (module, code) in files() {
        let names_it = code.contains("napi::") && !code.contains("crate::napi::")
            || code.contains("napi_derive");
        assert!(module[0] == "napi" || !names_it, "{module:?} names N-API");
    }
}

#[test]
fn no_two_files_or_types_share_a_name() {
    let mut named: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for (module, code) in files() {
        let file = module.last().cloned().unwrap_or_default();
        named
            .entry(format!("{file}.rs"))
            .or_default()
            .push(module.clone());
        for line in code.lines() {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            for keyword in ["struct ", "enum ", "trait ", "type "] {
                let Some(name) = line.strip_prefix(keyword) else {
                    continue;
                };
                let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
                named.entry(name).or_default().push(module.clone());
            }
        }
    }
    named.retain(|_, places| {
        places.dedup(); // One file may define a type twice, for tests and not.
        places.len() > 1
    });
    assert!(named.is_empty(), "{named:#?}");
}

fn files() -> Files {
    let mut files = Files::new();
    read(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &[],
        &mut files,
    );
    files.retain(|module, _| {
        let name = module.last().map_or("", String::as_str);
        name != "lib" && !name.ends_with("_test") && !name.starts_with("test_")
            || name == "test_panics"
    });
    files
}

fn read(folder: &Path, module: &[String], files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut module = module.to_vec();
        if path.is_dir() {
            module.push(stem);
            read(&path, &module, files);
            continue;
        }
        if stem != "mod" {
            module.push(stem);
        }
        files.insert(module, code(&fs::read_to_string(&path).unwrap()));
    }
}

/// A file without its comments and unit tests.
fn code(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines()
        .filter(is_code)
        .fold(String::new(), |code, line| code + line + "\n")
}

fn imports(files: &Files) -> Imports {
    files
        .iter()
        .map(|(module, code)| {
            let mut targets: BTreeSet<_> = paths(code, module)
                .iter()
                .filter_map(|path| home(files, path))
                .collect();
            targets.remove(module);
            // A folder's `mod.rs` re-exports what is in it: that is no import.
            targets.retain(|target| !is_map(code) || !target.starts_with(module));
            (module.clone(), targets)
        })
        .collect()
}

/// Whether a file only declares modules and re-exports.
fn is_map(code: &str) -> bool {
    !["fn ", "struct ", "enum "]
        .iter()
        .any(|word| code.contains(word))
}

/// The file that defines what a path names; a re-export is followed to where it leads.
fn home(files: &Files, path: &[String]) -> Option<Vec<String>> {
    let length = (1..=path.len())
        .rev()
        .find(|&n| files.contains_key(&path[..n]))?;
    let module = path[..length].to_vec();
    let item = path.get(length);
    let exported = files[&module]
        .split("pub use ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next())
        .flat_map(expand)
        .find(|export| export.last() == item);
    match exported {
        Some(export) if is_map(&files[&module]) => {
            let export = export.iter().filter(|part| *part != "self").cloned();
            home(
                files,
                &module.iter().cloned().chain(export).collect::<Vec<_>>(),
            )
        }
        _ => Some(module),
    }
}

/// The paths within this crate that a file names.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        paths.extend(expand(tree(rest)));
    }
    let parent = &module[..module.len() - 1];
    for (at, _) in code.match_indices("super::") {
        let rest = tree(&code[at + "super::".len()..]);
        paths.extend(
            expand(rest)
                .into_iter()
                .map(|path| [parent, &path].concat()),
        );
    }
    paths
}

/// The part of `code` that is a path, with its braces.
fn tree(code: &str) -> &str {
    let mut depth = 0;
    let end = code.find(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        let is_path = c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}' | '*');
        depth < 0 || depth == 0 && !is_path && c != '}'
    });
    &code[..end.unwrap_or(code.len())]
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let Some((head, rest)) = tree.split_once('{') else {
        let parts = tree
            .split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty());
        return vec![parts.map(str::to_string).collect()];
    };
    let head = expand(head).remove(0);
    let inner = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let branches = parts.iter().filter(|part| !part.trim().is_empty());
    branches
        .flat_map(|part| expand(part))
        .map(|path| [&*head, &*path].concat())
        .collect()
}
