//! Verifying access tokens: JWTs (RFC 7519) under RFC 9068 and the best practices of RFC 8725.
