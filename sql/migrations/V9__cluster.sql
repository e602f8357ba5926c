-- A cluster: several machines with one log of writes, which each of them applies to its own file.

CREATE TABLE cluster (
  -- One row in the file of a member, none in that of a single server. Each group of writes that is applied changes the row
  -- in the same transaction, so the row always says how far this file is.
  id         INTEGER PRIMARY KEY                           -- always 1
             CONSTRAINT cluster_has_one_row CHECK (id = 1),
  name       TEXT NOT NULL,                                -- random; members of another cluster are not listened to
  log_id     TEXT                                          -- the newest entry of the log that is applied: term, leader
             CONSTRAINT cluster_log_id_is_json CHECK (json_valid(log_id)), -- and index
  membership TEXT                                          -- who votes, as of that entry
             CONSTRAINT cluster_membership_is_json CHECK (json_valid(membership)),
  applied_ts REAL NOT NULL,                                -- the time of the newest group, which never goes back without
                                                           -- a step of the clock
  stepped    REAL NOT NULL DEFAULT 0                       -- the seconds by which the clock was set in all. A reader adds
                                                           -- them, so that the present fits the rows that it sees
) STRICT;

CREATE TABLE cluster_members (
  -- Who should be a member. The leader lets those in who are listed, and votes those out who are not.
  node        INTEGER NOT NULL PRIMARY KEY                 -- the number of `serve --node`
              CONSTRAINT cluster_members_node_range CHECK (node BETWEEN 1 AND 99),
  address     TEXT NOT NULL UNIQUE                         -- where the others reach it, as HOST:PORT
              CONSTRAINT cluster_members_address_format CHECK (address GLOB '?*:[0-9]*' AND length(address) <= 255),
  is_replaced INTEGER NOT NULL DEFAULT 0                   -- 1: it lost its files. The leader votes it out, and lets it
              CONSTRAINT cluster_members_is_replaced_boolean CHECK (is_replaced IN (0, 1)) -- in again with a new file
) STRICT, WITHOUT ROWID;
