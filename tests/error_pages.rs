//! Every code has a page in `docs/errors`, every page a code: a refusal never leads nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fraudplat::contracts::code::Code;
use fraudplat::contracts::problem::Problem;

const PARTS: [&str; 4] = [
    "**What happened.**",
    "**Why it is refused.**",
    "**What to do.**",
    "**Example.**",
];

const PAGE_LINES_MAX: usize = 25;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors")
}

#[test]
fn codes_and_pages_are_the_same() {
    let entries = fs::read_dir(folder()).unwrap();
    let pages: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
    let nameless: Vec<_> = codes.difference(&pages).collect();
    let codeless: Vec<_> = pages.difference(&codes).collect();
    assert!(nameless.is_empty(), "codes without a page: {nameless:?}");
    assert!(codeless.is_empty(), "pages without a code: {codeless:?}");
}

#[test]
fn every_page_says_what_why_and_what_to_do() {
    for code in Code::ALL {
        let page = fs::read_to_string(folder().join(format!("{code}.md"))).unwrap();
        assert!(
            page.starts_with(&format!("# {code}\n")),
            "{code}: the title"
        );
        let mut rest = page.as_str();
        for part in PARTS {
            let found = rest.split_once(part);
            rest = found
                .unwrap_or_else(|| panic!("{code}: no {part} where it belongs"))
                .1;
            assert!(rest.trim_start().len() > 20, "{code}: {part} says nothing");
        }
        assert!(
            rest.contains(code.as_str()),
            "{code}: the example is of another code"
        );
        assert!(
            page.lines().count() <= PAGE_LINES_MAX,
            "{code}: the page is long"
        );
    }
}

#[test]
fn a_problem_leads_to_its_page() {
    for code in Code::ALL {
        let problem = Problem::new(400, *code, "detail");
        let page = problem.type_uri.strip_prefix("/docs/errors/").unwrap();
        assert!(
            folder().join(format!("{page}.md")).exists(),
            "{}",
            problem.type_uri
        );
        assert_eq!(code.as_str().parse(), Ok(*code));
        assert!(!problem.advice.is_empty());
    }
}
