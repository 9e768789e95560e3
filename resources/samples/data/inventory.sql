CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE movement (
  id INTEGER PRIMARY KEY,
  product_id INTEGER NOT NULL REFERENCES product(id),
  day TEXT NOT NULL,
  amount INTEGER NOT NULL
);
INSERT INTO product (id, name, price, stock) VALUES
  (1, 'Sensor T100', 49.90, 120),
  (2, 'Sensor H20', 59.00, 35),
  (3, 'Gateway G3', 189.00, 8),
  (4, 'Cable 5 m', 9.50, 400),
  (5, 'Power supply 24 V', 39.00, 0);
INSERT INTO movement (product_id, day, amount) VALUES
  (1, '2026-01-05', -3), (2, '2026-01-06', -1), (4, '2026-01-06', -12), (1, '2026-01-09', -2),
  (3, '2026-01-11', -1), (5, '2026-01-12', -4), (4, '2026-01-15', 200), (1, '2026-01-20', 50);
