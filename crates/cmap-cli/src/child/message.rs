//! What a child says to its parent: one JSON object a line.

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// How far it has come.
    Progress {
        /// What it is doing.
        pass: Pass,
        /// With so many entries.
        done: u64,
    },
    /// It is done, every answer was right, and this is what it measured.
    Measured(Measured),
    /// The store refused an entry or answered wrongly.
    Failed {
        /// What exactly.
        reason: String,
    },
}

/// A pass over all entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// All entries are put in.
    Load,
    /// All are looked up and compared.
    LookUp,
    /// Some are looked up, and the values of the others replaced.
    Mixed,
    /// Nine in ten are deleted.
    Delete,
    /// All are looked up again: deleted or kept?
    Check,
}

impl Pass {
    /// In their order.
    pub const ALL: [Pass; 5] = [
        Pass::Load,
        Pass::LookUp,
        Pass::Mixed,
        Pass::Delete,
        Pass::Check,
    ];

    /// For the progress bar.
    pub fn doing(self) -> &'static str {
        match self {
            Pass::Load => "loading",
            Pass::LookUp => "looking up",
            Pass::Mixed => "looking up and replacing",
            Pass::Delete => "deleting",
            Pass::Check => "checking",
        }
    }
}

/// What a child measured: raw numbers; the report makes ratios of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Memory above the baseline with all entries in.
    pub loaded_bytes: u64,
    /// The same after deleting nine in ten.
    pub left_bytes: u64,
    /// From the first thread's start to the last one's end.
    pub load_ns: u64,
    /// The same for looking up all entries.
    pub lookup_ns: u64,
    /// The same for the mixed phase, if there was one.
    pub mixed_ns: Option<u64>,
    /// The longest that an insert took, on any thread.
    pub worst_insert_ns: u64,
    /// Giving the store back, with the tenth that was left in it.
    pub drop_ns: u64,
    /// What timing an insert costs: two readings of the clock.
    pub clock_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is() {
        let line = serde_json::to_string(&Message::Progress {
            pass: Pass::LookUp,
            done: 7,
        })
        .unwrap();
        assert_eq!(line, r#"{"progress":{"pass":"look_up","done":7}}"#);
        assert_eq!(
            serde_json::from_str::<Message>(&line).unwrap(),
            Message::Progress {
                pass: Pass::LookUp,
                done: 7
            }
        );
        assert!(
            serde_json::from_str::<Message>(r#"{"measured":{"load_ns":1}}"#).is_err(),
            "nothing may be missing"
        );
    }
}
