"""OTPGet, as seen from the worker. Read in this order:

1. `replies`: the provider's words and what an answer can mean;
2. `products`: the product table, how each product is spoken to and how its answers are read;
3. `protocol`: bytes to replies, with `purchase` and `throttling` for the two hard cases, `envelope` for JSON and
   `catalogue` for listings;
4. `client`: the calls, over `transport` (a fresh connection for each) and `wire` (kept-alive connections for the poll);
5. `calibration`: free questions that show whether the table is right.
"""
