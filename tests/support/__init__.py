"""What several test modules share: real servers, fixtures' plumbing. Imports the product, never the tests."""
