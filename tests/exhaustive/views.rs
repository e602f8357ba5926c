//! What clients see, before and after a sweep.

use rusqlite::Connection;

use crate::actions::{RINGING_TIMEOUT, advance, sweep};

/// Everything that the API shows of calls, without the version, which a sweep raises.
const SHOWN: &str = "
    SELECT 'state ' || json_remove(json, '$.version') FROM call_state_json
    UNION ALL SELECT 'incoming ' || username || json FROM incoming_call_json
    UNION ALL SELECT 'active ' || username || json FROM active_call_json
    UNION ALL SELECT 'history ' || username || json FROM history_json
    UNION ALL SELECT 'missed ' || username || json FROM missed_call_json
    UNION ALL SELECT 'share ' || json FROM active_share_json
    ORDER BY 1";

fn shown(sql: &Connection) -> Vec<String> {
    let mut prepared = sql.prepare_cached(SHOWN).unwrap();
    prepared.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Checks that a sweep stores what the views show: now, and when each invitation of this state has timed out. Absent
/// people leave, and their shares end, at the sweep alone, so a state with some of them is left out.
///
/// # Errors
/// What differs.
pub fn check_views(sql: &Connection) -> Result<(), String> {
    for seconds in [0, RINGING_TIMEOUT] {
        sql.execute_batch("SAVEPOINT look").unwrap();
        advance(sql, seconds);
        let is_absence_due: bool = sql
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM due_absences) OR EXISTS (SELECT 1 FROM due_shares)")
            .unwrap()
            .query_row([], |row| row.get(0))
            .unwrap();
        let before = shown(sql);
        sweep(sql);
        let after = shown(sql);
        sql.execute_batch("ROLLBACK TO look; RELEASE look").unwrap();
        if !is_absence_due && before != after {
            let lines = |some: &[String], other: &[String]| -> String {
                some.iter().filter(|line| !other.contains(line)).map(|line| format!("\n  {line}")).collect()
            };
            let (gone, new) = (lines(&before, &after), lines(&after, &before));
            return Err(format!("after {seconds} s, the views show{gone}\nand a sweep stores{new}"));
        }
    }
    Ok(())
}
