//! What the tool shows, word for word: `cli/tests/check/*.trycmd` (`TRYCMD=overwrite cargo test -p portcullis-cli` writes them anew).

#[test]
fn what_is_shown_is_as_written() {
    trycmd::TestCases::new().case("tests/check/*.trycmd");
}
