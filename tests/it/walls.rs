//! The walls between the modules of `src/`: imports run downwards only, the emulator shares nothing with the client that it
//! tests, and a name means one thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The modules from the ground up: each may import what stands before it, and so there can be no cycle.
const ORDER: [&str; 22] = [
    "proto",
    "name",
    "error",
    "retry",
    "trace",
    "gcloud",
    "net",
    "auth",
    "transport",
    "call",
    "rpc",
    "outcome",
    "operation",
    "run",
    "start",
    "watch",
    "bulk",
    "client",
    "emulator",
    "bench",
    "cli",
    "lib",
];

/// What the emulator may know of the client: one that shares its logic would prove nothing.
const KNOWN_TO_EMULATOR: [&str; 2] = ["proto", "name"];

/// Names that several types have, and why that confuses nobody.
const SHARED_NAMES: [(&str, &[&str]); 2] = [
    (
        "one in the file of each verb, where nothing else is in sight",
        &["Delete", "Describe", "List", "Meaning", "Wait"],
    ),
    ("of the benchmark, which is a module of its own and has them as each library does", &["Error", "Result"]),
];

/// A source file: its path, and its code without comments and tests.
struct Source {
    path: String,
    code: String,
}

impl Source {
    /// The module of the crate that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The first names of the paths that begin at the crate's root.
    fn imports(&self) -> BTreeSet<String> {
        let visible_in = "(in crate::";
        let code = self.code.replace(visible_in, "(in ");
        let mut names = BTreeSet::new();
        for rest in code.split("crate::").skip(1) {
            names.extend(rest.strip_prefix('{').map_or_else(|| vec![first_word(rest)], of_group));
        }
        names
    }

    /// The types that it defines outside of functions and of implementations.
    fn types(&self) -> impl Iterator<Item = &str> {
        self.code.lines().filter_map(|line| {
            let line = line.strip_prefix("pub").map_or(line, |rest| {
                // The visibility may name a path, as in `pub(in crate::cli)`.
                rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest).trim_start()
            });
            let (keyword, rest) = line.split_once(' ')?;
            let is_type = ["struct", "enum", "trait", "type", "union"].contains(&keyword);
            is_type.then(|| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
        })
    }
}

/// The first word of each path in a braced group of a `use`.
fn of_group(group: &str) -> Vec<String> {
    let mut names = vec![first_word(group)];
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(first_word(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut sources, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name");
            if stem == "tests" || path == root.join("main.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("under src").display().to_string();
                sources.push(Source { path: name, code: code(&fs::read_to_string(&path).expect("text")) });
            }
        }
    }
    assert!(sources.len() > 100, "the sources are elsewhere");
    sources
}

/// A file without its comments and its tests, which come last.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The module of each name that `lib.rs` re-exports.
fn exported(sources: &[Source]) -> BTreeMap<String, String> {
    let lib = sources.iter().find(|source| source.path == "lib.rs").expect("lib.rs");
    let exports = lib.code.split_once("pub use self::{").expect("the exports").1;
    let mut modules = BTreeMap::new();
    for line in exports.lines().take_while(|line| !line.starts_with('}')) {
        if let Some((module, names)) = line.trim().split_once("::") {
            for name in names.split(|c: char| !c.is_alphanumeric()).filter(|name| !name.is_empty()) {
                modules.insert(name.to_owned(), module.to_owned());
            }
        }
    }
    modules
}

#[test]
fn imports_run_downwards_only() {
    let sources = sources();
    let exported = exported(&sources);
    let height = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut wrong = Vec::new();
    for source in &sources {
        let own = source.module();
        for name in source.imports() {
            let module = exported.get(&name).unwrap_or(&name);
            let is_below = height(module).is_some_and(|below| Some(below) < height(own));
            if module != own && !is_below {
                wrong.push(format!("{} imports {module}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_emulator_knows_of_the_client_its_protos_and_its_names_only() {
    let sources = sources();
    let inside = sources.iter().filter(|source| source.module() == "emulator");
    let wrong: Vec<_> = inside
        .flat_map(|source| source.imports().into_iter().map(|name| (source.path.clone(), name)))
        .filter(|(_, name)| name != "emulator" && !KNOWN_TO_EMULATOR.contains(&name.as_str()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_benchmark_does_not_know_the_emulator() {
    let sources = sources();
    let mut inside = sources.iter().filter(|source| source.module() == "bench");
    assert!(inside.all(|source| !source.imports().contains("emulator")));
}

#[test]
fn two_types_have_one_name_only_where_that_has_a_reason() {
    let sources = sources();
    let mut places = BTreeMap::<&str, Vec<&str>>::new();
    for source in &sources {
        source.types().for_each(|name| places.entry(name).or_default().push(&source.path));
    }
    places.retain(|_, places| places.len() > 1);
    let allowed: BTreeSet<&str> = SHARED_NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert!(allowed.len() < 8, "a reason for everything is none");
    let new: Vec<_> = places.iter().filter(|(name, _)| !allowed.contains(*name)).collect();
    assert!(new.is_empty(), "rename one of each, or give the reason: {new:#?}");
    let gone: Vec<_> = allowed.iter().filter(|name| !places.contains_key(*name)).collect();
    assert!(gone.is_empty(), "these have one type only by now: {gone:?}");
}

#[test]
fn a_forbidden_import_would_be_seen() {
    let text = "//! crate::cli in a comment\nuse crate::{\n    call::{Caller, Failure},\n    cli::exit,\n};\npub(in crate::cli) fn f() { crate::run::g(); }\n#[cfg(test)]\nmod tests { use crate::bulk; }\n";
    let source = Source { path: "emulator/state.rs".to_owned(), code: code(text) };
    assert_eq!(source.module(), "emulator");
    assert_eq!(source.imports().into_iter().collect::<Vec<_>>(), ["call", "cli", "run"]);
    let source = Source {
        path: "a.rs".to_owned(),
        code: "pub(in crate::cli) struct One;\nenum Two {}\npub struct Three(());\n    type In = ();".to_owned(),
    };
    assert_eq!(source.types().collect::<Vec<_>>(), ["One", "Two", "Three"]);
}
