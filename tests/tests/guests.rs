//! `amber test` on the first-party images, and its reports.

use amber_tests::program::{Scratch, run};

fn guests() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/guests")
}

#[test]
fn first_party_images_pass() {
    let scratch = Scratch::new("guests");
    let junit = scratch.0.join("results.xml");
    let output = run(&["test", guests(), "--junit", &junit.display().to_string()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "\n{text}{}", String::from_utf8_lossy(&output.stderr));
    for name in [
        "disk",
        "display",
        "interrupts",
        "monitor",
        "paging",
        "requests",
        "selftest",
        "smp (1 vCPUs)",
        "smp (4 vCPUs)",
    ] {
        assert!(text.contains(&format!("pass     {name} ")), "{name} in:\n{text}");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"10\" failures=\"0\" errors=\"0\""), "{xml}");
}

#[test]
fn a_failure_shows_in_exit_code_and_reports() {
    let scratch = Scratch::new("failure");
    let endless = "firmware = \"paging\"\nlimit = 100\n";
    scratch.file("test.toml", endless.as_bytes());
    let output = run(&["test", &scratch.0.display().to_string(), "--json"]);
    assert_eq!(output.status.code(), Some(8));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\"verdict\": \"limit\""), "{text}");
    assert!(text.contains("\"steps\": 100"), "{text}");
    scratch.file("test.toml", b"firmware = \"paging\"\nexpect = { exit = 7 }\n");
    let output = run(&["test", &scratch.0.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_single_image_is_a_test() {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/paging/image.bin");
    let output = run(&["test", image, image, "--jobs", "2"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("2 passed, 0 did not"), "{text}");
}

#[test]
fn verdicts_outlive_a_report_that_cannot_be_written() {
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/paging/image.bin");
    let output = run(&["test", image, "--junit", "/no/such/folder/results.xml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed, 0 did not"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--junit /no/such/folder"));
}

#[test]
fn counters_come_as_json_too() {
    let output =
        run(&["run", "--firmware", "paging", "--headless", "--stop-at", "1000", "--stats", "--json"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with('{') && text.contains("\"steps\": 1000,"), "{text}");
}
