//! The one expression language: its syntax tree and parser.
