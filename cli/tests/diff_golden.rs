//! What `policy diff` shows, word for word (`TRYCMD=overwrite cargo test -p portcullis-cli --test diff_golden` writes it anew).

#[test]
fn what_is_shown_of_a_change_is_as_written() {
    trycmd::TestCases::new().case("tests/diff/*.trycmd").case("tests/diff/*.toml");
}
