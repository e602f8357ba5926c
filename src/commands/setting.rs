//! `setting list`, `setting get`, `setting set`, `setting reset`.

use std::io;

use serde_json::Value as Json;

use super::output::{self, Columns};
use super::{CommandError, change, print_line, read_input, refused};
use crate::command_line::Setting;
use crate::database::{Database, Write, text};
use crate::statements;

const SETTINGS: Columns = &[
    ("SETTING", "name"),
    ("VALUE", "value"),
    ("DEFAULT", "default"),
    ("UNIT", "unit"),
    ("LOWEST", "lowest"),
    ("HIGHEST", "highest"),
    ("MEANING", "meaning"),
];

pub(super) fn run(database: &Database, command: Setting) -> Result<(), CommandError> {
    match command {
        Setting::List(output) => output::list(database, &statements::SETTINGS, [&"", &output::ALL], SETTINGS, output),
        Setting::Get { name, output } => {
            let setting = output::select(database, &statements::SETTING, [&name])?;
            let setting = setting.first().ok_or_else(|| refused(database, &name, "setting_not_found"))?;
            if output.json {
                return print_line(setting);
            }
            // The database makes an object with this member.
            let value = serde_json::from_str(setting).map(|setting: Json| setting["value"].clone()).unwrap_or_default();
            print_line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
        // The value may be a credential of a TURN server, so the log does not get it.
        Setting::Set { name, value } => {
            let value = if value == "-" { read_input(io::stdin())? } else { value };
            let set = Write::new(&statements::SET_SETTING, [text(&name), text(value)]);
            change(database, &name, "changed setting", &[], set).map(drop)
        }
        Setting::Reset { name } => {
            let reset = Write::new(&statements::RESET_SETTING, [text(&name)]);
            change(database, &name, "reset setting", &[], reset).map(drop)
        }
    }
}
