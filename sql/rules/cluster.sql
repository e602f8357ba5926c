-- The members of a cluster. The leader makes the members of the log those of the table cluster_members.

CREATE VIEW add_member (node, address) AS
-- Lists a machine as a member: INSERT INTO add_member (node, address) VALUES (4, 'd.example.org:7100').
  SELECT NULL, NULL WHERE 0;

CREATE TRIGGER add_member_lists_it
-- A number or an address that is taken would be two machines for the others.
INSTEAD OF INSERT ON add_member
BEGIN
  SELECT RAISE(ABORT, 'node_exists')
  WHERE EXISTS (SELECT 1 FROM cluster_members WHERE node = NEW.node OR address = NEW.address);

  INSERT INTO cluster_members (node, address) VALUES (NEW.node, NEW.address);
END;

CREATE VIEW check_member (node) AS
-- Refuses a number that no member has.
  SELECT NULL WHERE 0;

CREATE TRIGGER unknown_member_is_refused
-- A misspelt number would change nothing, silently.
INSTEAD OF INSERT ON check_member
BEGIN
  SELECT RAISE(ABORT, 'node_not_found')
  WHERE NOT EXISTS (SELECT 1 FROM cluster_members WHERE node = NEW.node);
END;

CREATE VIEW remove_member (node) AS
-- Takes a machine off the list: INSERT INTO remove_member (node) VALUES (4).
  SELECT NULL WHERE 0;

CREATE TRIGGER remove_member_takes_it_off_the_list
-- Without its last member nobody could write any more.
INSTEAD OF INSERT ON remove_member
BEGIN
  INSERT INTO check_member (node) VALUES (NEW.node);

  SELECT RAISE(ABORT, 'node_is_last')
  WHERE NOT EXISTS (SELECT 1 FROM cluster_members WHERE node <> NEW.node);

  DELETE FROM cluster_members WHERE node = NEW.node;
END;

CREATE VIEW replace_member (node) AS
-- A machine lost its files: INSERT INTO replace_member (node) VALUES (4). Its votes are lost, too, so it may come back only
-- after the others have voted it out.
  SELECT NULL WHERE 0;

CREATE TRIGGER replace_member_marks_it
-- As remove_member_takes_it_off_the_list.
INSTEAD OF INSERT ON replace_member
BEGIN
  INSERT INTO check_member (node) VALUES (NEW.node);

  SELECT RAISE(ABORT, 'node_is_last')
  WHERE NOT EXISTS (SELECT 1 FROM cluster_members WHERE node <> NEW.node);

  UPDATE cluster_members SET is_replaced = 1 WHERE node = NEW.node;
END;
