"""OTPGet, as seen from the worker. Read in this order:

1. `replies`: the provider's words and what an answer can mean;
2. `protocol`: bytes to replies, with `purchase` and `throttling` for the two hard cases;
3. `client`: the five calls, over `transport` (a fresh connection for each) and `wire`
   (kept-alive connections for the poll).
"""
