-- Keeps a shell from writing to the table {table} of a member: its file would differ from those of the others. The log
-- writes while the clock is pinned. A file that becomes a member's gets these for each table.

CREATE TRIGGER member_refuses_insert_into_{table}
BEFORE INSERT ON {table}
WHEN (SELECT pinned_ts FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'use_the_sql_command');
END;

CREATE TRIGGER member_refuses_update_of_{table}
BEFORE UPDATE ON {table}
WHEN (SELECT pinned_ts FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'use_the_sql_command');
END;

CREATE TRIGGER member_refuses_delete_from_{table}
BEFORE DELETE ON {table}
WHEN (SELECT pinned_ts FROM clock) IS NULL
BEGIN
  SELECT RAISE(ABORT, 'use_the_sql_command');
END;
