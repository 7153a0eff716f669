//! Tables and properties of the pure rules: addresses, header fields, URLs, redirects, retries.

mod addresses;
mod embedded;
mod fields;
mod patterns;
mod redirects;
mod retries;
mod urls;
