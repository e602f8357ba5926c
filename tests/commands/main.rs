//! The command line, the sqlite3 shell on the file, and README.
