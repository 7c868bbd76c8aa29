"""The compiled core of tocsin. Use the package `tocsin`; nothing here is a public name."""
