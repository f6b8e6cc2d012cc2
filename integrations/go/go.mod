module tinsmith

go 1.23
