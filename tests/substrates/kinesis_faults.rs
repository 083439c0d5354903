//! The Kinesis bus under what no emulator does: a proxy fails its requests as a script says.
