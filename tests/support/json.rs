//! Accessing the JSON of pmem and of the workload.

use serde_json::Value;

/// An integer that must be there.
#[track_caller]
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

/// An integer, or 0 for one that is not known.
#[track_caller]
pub(crate) fn number_or_zero(value: &Value) -> u64 {
    if value.is_null() { 0 } else { number(value) }
}

/// An address: a string in hexadecimal.
#[track_caller]
pub(crate) fn hex_address(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(digits.unwrap_or_else(|| panic!("expected an address, found {value}")), 16).unwrap()
}

/// The bytes of a name: those of `FIELD_hex` if it is there, else those of `FIELD`.
#[track_caller]
pub(crate) fn name_bytes(object: &Value, field: &str) -> Vec<u8> {
    let hex = &object[format!("{field}_hex")];
    if hex.is_null() {
        return object[field].as_str().expect("a name").as_bytes().to_vec();
    }
    unhex(hex)
}

/// The bytes of a string in hexadecimal.
#[track_caller]
pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The rows of a process.
#[track_caller]
pub(crate) fn rows(process: &Value) -> &Vec<Value> {
    process["vmas"].as_array().expect("vmas")
}

/// The row that begins at an address.
#[track_caller]
pub(crate) fn row_at(process: &Value, address: u64) -> &Value {
    let found = rows(process).iter().find(|row| hex_address(&row["start"]) == address);
    found.unwrap_or_else(|| panic!("no row begins at {address:#x}"))
}

/// A row's frames: present minus zero pages, or none for hugetlb.
#[track_caller]
pub(crate) fn resident(row: &Value) -> u64 {
    if row["kind"] == "hugetlb" {
        return 0;
    }
    number_or_zero(&row["present_pages"]) - number_or_zero(&row["zero_pages"])
}
