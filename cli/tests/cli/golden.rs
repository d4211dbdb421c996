//! What the tool prints, word for word. `TRYCMD=overwrite cargo test -p portcullis-cli --test cli golden` writes the files anew.

#[test]
fn check_prints_what_is_written() {
    trycmd::TestCases::new().case("tests/check/*.trycmd");
}

#[test]
fn diff_prints_what_is_written() {
    trycmd::TestCases::new().case("tests/diff/*.trycmd").case("tests/diff/*.toml");
}

#[test]
fn conditions_print_what_is_written() {
    trycmd::TestCases::new().case("tests/conditions/*.trycmd");
}
