-- The addresses at which clients reach the members of a cluster.

INSERT INTO settings (name, value, default_value, kind, unit, lowest, highest, meaning)
SELECT column1, column2, column2, column3, column4, column5, column6, column7
FROM (VALUES
    ('client_addresses', '[]', 'JSON', 'characters', 2, 16384,
     'addresses of the members of a cluster for browsers, as a list of origins; pages of each may use the others'));
