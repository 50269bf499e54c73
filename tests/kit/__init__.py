"""What the tests share: scripted servers, ways to call, types with values, rules written without Alloy."""
