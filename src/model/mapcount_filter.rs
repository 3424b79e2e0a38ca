//! Selecting frames by mapcount: `>1`, `>=2`, `<3`, `<=3`, `=1`, `1`, `2-5`.

use std::fmt;
use std::str::FromStr;

use crate::unit::decimal;

/// An inclusive range of mapcounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapcountFilter {
    least: u64,
    most: u64,
}

impl MapcountFilter {
    /// Whether this mapcount matches.
    pub fn matches(self, mapcount: u64) -> bool {
        (self.least..=self.most).contains(&mapcount)
    }
}

impl FromStr for MapcountFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("'{text}' is not a mapcount condition: expected N, =N, >N, >=N, <N, <=N or LOW-HIGH");
        let number = |digits: &str| decimal(digits.trim()).ok_or_else(form);
        let nothing = || format!("no mapcount can be {text}");
        let (least, most) = if let Some(digits) = text.strip_prefix(">=") {
            (number(digits)?, u64::MAX)
        } else if let Some(digits) = text.strip_prefix("<=") {
            (0, number(digits)?)
        } else if let Some(digits) = text.strip_prefix('>') {
            (number(digits)?.checked_add(1).ok_or_else(nothing)?, u64::MAX)
        } else if let Some(digits) = text.strip_prefix('<') {
            (0, number(digits)?.checked_sub(1).ok_or_else(nothing)?)
        } else if let Some((low, high)) = text.split_once('-') {
            (number(low)?, number(high)?)
        } else {
            let number = number(text.trim_start_matches('='))?;
            (number, number)
        };
        if least > most { Err(format!("the range {text} is empty")) } else { Ok(Self { least, most }) }
    }
}

impl fmt::Display for MapcountFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { least, most } if least == most => write!(f, "{least}"),
            Self { least, most: u64::MAX } => write!(f, ">={least}"),
            Self { least: 0, most } => write!(f, "<={most}"),
            Self { least, most } => write!(f, "{least}-{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_say_which_counts_match() {
        for (text, wanted) in [
            (">1", [false, false, true, true, true, true]),
            (">=2", [false, false, true, true, true, true]),
            ("<3", [true, true, true, false, false, false]),
            ("<=3", [true, true, true, true, false, false]),
            ("=1", [false, true, false, false, false, false]),
            ("==1", [false, true, false, false, false, false]),
            ("1", [false, true, false, false, false, false]),
            ("0", [true, false, false, false, false, false]),
            ("2-4", [false, false, true, true, true, false]),
            ("> 3", [false, false, false, false, true, true]),
        ] {
            let filter: MapcountFilter = text.parse().unwrap();
            assert_eq!([0, 1, 2, 3, 4, 5].map(|count| filter.matches(count)), wanted, "{text}");
            assert_eq!(filter.matches(0), wanted[0], "{text}");
            assert_eq!(filter.to_string().parse(), Ok(filter), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_or_none_can_meet_is_refused() {
        for text in
            ["", ">", "x", "-1", "1-", "+1", "5-2", "<0", ">18446744073709551615", "18446744073709551616", "1=2"]
        {
            assert!(text.parse::<MapcountFilter>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_an_error(text: String) {
            let _ = text.parse::<MapcountFilter>();
        }
    }
}
