//! Planted bugs are in the build that asks for them by its feature, and in no other: the name of the
//! variable that chooses one is in the executable, or it is not.

#[test]
fn bugs_are_only_where_they_were_asked_for() {
    let executable = std::fs::read(env!("CARGO_BIN_EXE_fraudplat")).expect("it was built for this");
    let variable = ["FRAUDPLAT", "PLANTED", "BUG"].join("_");
    let has_it = |name: &str| {
        executable
            .windows(name.len())
            .any(|it| it == name.as_bytes())
    };
    assert_eq!(has_it(&variable), cfg!(feature = "planted-bugs"));
    // What is there in every build is found like this.
    assert!(has_it("FRAUDPLAT__"));
}
