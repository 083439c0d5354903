//! The numbers behind the report, on a few decisions made by hand.
